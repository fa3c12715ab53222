import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.context.support.IValidationSupport;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.Questionnaire;

/** What the validator knows: the R4 definitions that come inside its jars, and ours, from the folders it is given. */
final class Definitions extends PrePopulatedValidationSupport {
    private final FhirContext fhir;
    private final Map<String, Questionnaire> questionnaires = new HashMap<>();

    Definitions(FhirContext fhir) {
        super(fhir);
        this.fhir = fhir;
    }

    /** Ours first, then R4's; LOINC, SNOMED CT and dm+d are not here, which is a warning and no error. */
    IValidationSupport chain() {
        UnknownCodeSystemWarningValidationSupport unknown = new UnknownCodeSystemWarningValidationSupport(fhir);
        unknown.setNonExistentCodeSystemSeverity(IValidationSupport.IssueSeverity.WARNING);
        return new ValidationSupportChain(
                this, new Languages(fhir), new DefaultProfileValidationSupport(fhir), new CommonCodeSystemsTerminologyService(fhir),
                new InMemoryTerminologyServerValidationSupport(fhir), new SnapshotGeneratingValidationSupport(fhir), unknown);
    }

    void load(Path folder) throws IOException {
        for (Path file : below(folder, ".json")) {
            IBaseResource resource = fhir.newJsonParser().parseResource(Files.readString(file));
            if (resource instanceof Questionnaire questionnaire) questionnaires.put(questionnaire.getUrl(), questionnaire);
            else addResource(resource);
        }
    }

    /** The parent does not serve Questionnaires; without one, no QuestionnaireResponse is checked against it. */
    @Override
    public <T extends IBaseResource> T fetchResource(Class<T> type, String uri) {
        Questionnaire found = uri == null ? null : questionnaires.get(uri.split("\\|")[0]);
        return found != null && type.isAssignableFrom(Questionnaire.class) ? type.cast(found) : super.fetchResource(type, uri);
    }

    static List<Path> below(Path folder, String... endings) throws IOException {
        try (Stream<Path> walk = Files.walk(folder)) {
            return walk.filter(Files::isRegularFile).filter(p -> Stream.of(endings).anyMatch(p.toString()::endsWith)).sorted().toList();
        }
    }
}
