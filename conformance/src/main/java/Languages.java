import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.ConceptValidationOptions;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.context.support.ValidationSupportContext;
import java.util.IllformedLocaleException;
import java.util.Locale;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.ValueSet;

/**
 * Languages by BCP 47. R4 binds Patient.communication.language to a short list as preferred and to all of BCP 47 as its limit;
 * HAPI's own terminology takes the short list for the limit, and calls Welsh and Urdu errors.
 */
record Languages(FhirContext fhir) implements IValidationSupport {
    private static final String PREFERRED = "http://hl7.org/fhir/ValueSet/languages";

    @Override
    public FhirContext getFhirContext() {
        return fhir;
    }

    @Override
    public boolean isValueSetSupported(ValidationSupportContext context, String valueSet) {
        return valueSet.split("\\|")[0].equals(PREFERRED);
    }

    @Override
    public CodeValidationResult validateCode(
            ValidationSupportContext context, ConceptValidationOptions options, String system, String code, String display, String valueSet) {
        return valueSet != null && isValueSetSupported(context, valueSet) ? judged(code) : null;
    }

    @Override
    public CodeValidationResult validateCodeInValueSet(
            ValidationSupportContext context, ConceptValidationOptions options, String system, String code, String display, IBaseResource valueSet) {
        return valueSet instanceof ValueSet one && isValueSetSupported(context, one.getUrl()) ? judged(code) : null;
    }

    private static CodeValidationResult judged(String code) {
        try {
            new Locale.Builder().setLanguageTag(code);
            return new CodeValidationResult().setCode(code);
        } catch (IllformedLocaleException problem) {
            return new CodeValidationResult().setSeverity(IssueSeverity.ERROR).setMessage("no language tag of BCP 47: " + code);
        }
    }
}
