import ca.uhn.fhir.context.FhirContext;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.hl7.fhir.common.hapi.validation.validator.FhirDefaultPolicyAdvisor;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.common.hapi.validation.validator.WorkerContextValidationSupportAdapter;
import org.hl7.fhir.r5.elementmodel.Element;
import org.hl7.fhir.r5.elementmodel.Manager.FhirFormat;
import org.hl7.fhir.r5.model.StructureDefinition;
import org.hl7.fhir.r5.utils.validation.ValidatorSession;
import org.hl7.fhir.r5.utils.validation.constants.BestPracticeWarningLevel;
import org.hl7.fhir.r5.utils.validation.constants.IdStatus;
import org.hl7.fhir.r5.utils.xver.XVerExtensionManagerOld;
import org.hl7.fhir.utilities.json.model.JsonObject;
import org.hl7.fhir.utilities.json.parser.JsonParser;
import org.hl7.fhir.utilities.validation.ValidationMessage;
import org.hl7.fhir.utilities.validation.ValidationMessage.IssueSeverity;
import org.hl7.fhir.validation.ValidatorSettings;
import org.hl7.fhir.validation.instance.InstanceValidator;

/**
 * Holds what we emit against R4 with the HL7 instance validator, offline.
 *
 * <pre>Conformance --define FOLDER --allow FILE [--strict FOLDER]... [--errors FOLDER]... [--wrong FOLDER]...</pre>
 *
 * Every .json and .ndjson file below a folder is read: a Bundle, each resource in it by itself, and every vital sign once
 * more against HL7's profile for it. Below --strict a warning fails as an error does, unless the allow-list names it; below
 * --errors only errors fail; below --wrong every file has to fail, which shows that this front checks anything at all. One tab-separated line a message: file, severity, location, message id, text. Exit 1 when anything fails.
 */
public final class Conformance {
    private static final String BASE = "http://hl7.org/fhir/StructureDefinition/";
    private static final Map<String, String> VITAL_SIGNS = Map.of( // LOINC code -> profile; the base profiles are not applied by themselves
            "85354-9", "bp", "8867-4", "heartrate", "2708-6", "oxygensat", "9279-1", "resprate", "8310-5", "bodytemp", "29463-7", "bodyweight",
            "8302-2", "bodyheight");

    private final WorkerContextValidationSupportAdapter context;
    private final InstanceValidator validator;
    private final Allowed allowed;
    private final Set<String> seen = new HashSet<>();
    private final List<Path> missed = new ArrayList<>();
    private int resources, again, errors, warnings, unchecked;

    private Conformance(Definitions definitions, Allowed allowed) {
        this.allowed = allowed;
        context = WorkerContextValidationSupportAdapter.newVersionSpecificWorkerContextWrapper(definitions.chain());
        ValidatorSession session = new ValidatorSession();
        // The validator takes "4.0" for another version than 4.0.1 and would fetch a package for it when it checks an extension's context.
        session.getOtherVersions().put("4.0", context);
        validator = new InstanceValidator(context, new FhirInstanceValidator.NullEvaluationContext(), new XVerExtensionManagerOld(null), session, new ValidatorSettings());
        validator.setPolicyAdvisor(new FhirDefaultPolicyAdvisor());
        validator.setAssumeValidRestReferences(true); // else a reference to the wrong type passes
        validator.setBestPracticeWarningLevel(BestPracticeWarningLevel.Warning);
        validator.setResourceIdRule(IdStatus.OPTIONAL);
        validator.setAnyExtensionsAllowed(false);
        validator.getExtensionDomains().add("https://fhir.hl7.org.uk/"); // UK Core's definitions are not here
    }

    public static void main(String[] args) throws Exception {
        Definitions definitions = new Definitions(FhirContext.forR4Cached());
        List<Path> strict = new ArrayList<>(), lenient = new ArrayList<>(), wrong = new ArrayList<>();
        Path allow = null;
        for (int n = 0; n + 1 < args.length; n += 2) {
            Path path = Path.of(args[n + 1]);
            switch (args[n]) {
                case "--define" -> definitions.load(path);
                case "--allow" -> allow = path;
                case "--strict" -> strict.add(path);
                case "--errors" -> lenient.add(path);
                case "--wrong" -> wrong.add(path);
                default -> throw new IllegalArgumentException(args[n]);
            }
        }
        Conformance conformance = new Conformance(definitions, new Allowed(allow));
        for (Path folder : strict) conformance.check(folder, true);
        for (Path folder : lenient) conformance.check(folder, false);
        for (Path folder : wrong) conformance.mustFail(folder);
        System.exit(conformance.report() ? 0 : 1);
    }

    private void check(Path folder, boolean strict) throws Exception {
        for (Path file : Definitions.below(folder, ".json", ".ndjson")) {
            List<String> texts = file.toString().endsWith(".ndjson") ? Files.readAllLines(file) : List.of(Files.readString(file));
            for (int n = 0; n < texts.size(); n++) {
                if (texts.get(n).isBlank()) continue;
                JsonObject resource = JsonParser.parseObject(texts.get(n));
                if (!resource.has("resourceType")) continue; // an entity in our own JSON
                checkAll(resource, texts.size() > 1 ? file + ":" + (n + 1) : file.toString(), strict);
            }
        }
    }

    private void mustFail(Path folder) throws Exception {
        for (Path file : Definitions.below(folder, ".json")) {
            int before = errors;
            checkAll(JsonParser.parseObject(Files.readString(file)), null, false);
            if (errors == before) missed.add(file); else errors = before;
        }
    }

    private void checkAll(JsonObject resource, String where, boolean strict) throws Exception {
        if (resource.asString("resourceType").equals("Bundle")) {
            validate(resource, where, strict, List.of());
            if (resource.has("entry")) for (JsonObject entry : resource.getJsonObjects("entry")) checkOne(entry.getJsonObject("resource"), where, strict);
        } else checkOne(resource, where, strict);
    }

    /** The same text is checked once: what is the same at several levels is there several times. */
    private void checkOne(JsonObject resource, String where, boolean strict) throws Exception {
        if (!seen.add(JsonParser.compose(resource, false))) return;
        resources++;
        validate(resource, where, strict, List.of());
        String profile = vitalSign(resource);
        if (profile == null) return;
        again++;
        validate(resource, where == null ? null : where + " as " + profile, strict, List.of(context.fetchResource(StructureDefinition.class, BASE + profile)));
    }

    private static String vitalSign(JsonObject resource) {
        if (!resource.asString("resourceType").equals("Observation")) return null;
        if (resource.getJsonObjects("category").stream().noneMatch(c -> codes(c).contains("vital-signs"))) return null;
        return codes(resource.getJsonObject("code")).stream().map(VITAL_SIGNS::get).filter(p -> p != null).findFirst().orElse("vitalsigns");
    }

    private static List<String> codes(JsonObject concept) {
        return concept.getJsonObjects("coding").stream().map(c -> c.asString("code")).toList();
    }

    private void validate(JsonObject resource, String where, boolean strict, List<StructureDefinition> profiles) throws Exception {
        List<ValidationMessage> messages = new ArrayList<>();
        byte[] bytes = JsonParser.compose(resource, false).getBytes(StandardCharsets.UTF_8);
        validator.validate(null, messages, new ByteArrayInputStream(bytes), FhirFormat.JSON, profiles);
        for (ValidationMessage m : messages) {
            boolean error = m.getLevel() == IssueSeverity.ERROR || m.getLevel() == IssueSeverity.FATAL;
            if (!error && offline(m)) { unchecked++; continue; }
            if (m.getLevel() == IssueSeverity.INFORMATION || !error && (!strict || allowed.allows(m))) continue;
            if (error) errors++; else warnings++;
            if (where == null) continue;
            String id = resource.has("id") ? resource.asString("resourceType") + "/" + resource.asString("id") : resource.asString("resourceType");
            System.out.println(where + "\t" + m.getLevel() + "\t" + id + " " + m.getLocation() + "\t" + m.getMessageId() + "\t" + m.getMessage().replace('\n', ' '));
        }
    }

    /** A message that says only that a terminology (LOINC, SNOMED CT, dm+d) is not available offline. */
    private static boolean offline(ValidationMessage m) {
        String id = String.valueOf(m.getMessageId());
        return m.getMessage().contains("CodeSystem is unknown and can't be validated") || m.getMessage().contains("Unable to expand ValueSet")
                || id.equals("Terminology_TX_ValueSet_NotFound") || id.equals("TERMINOLOGY_TX_SYSTEM_UNSUPPORTED") || id.equals("Terminology_TX_Error_CodeableConcept");
    }

    private boolean report() {
        missed.forEach(file -> System.out.println("passed, and should not: " + file));
        List<String> unused = allowed.unused();
        unused.forEach(why -> System.out.println("an allowance that nothing needs: " + why));
        System.out.println(resources + " resources, " + again + " of them vital signs checked twice: " + errors + " errors, " + warnings + " warnings; "
                + unchecked + " codes not checked: their code system or value set (LOINC, SNOMED CT, dm+d) is not available offline");
        return errors == 0 && warnings == 0 && missed.isEmpty() && unused.isEmpty() && resources > 0;
    }
}
