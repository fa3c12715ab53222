import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import org.hl7.fhir.utilities.validation.ValidationMessage;

/** The warnings that nobody can avoid, each with its reason: a tab-separated file of message id, location, text (regular expressions) and why. */
final class Allowed {
    private record Row(Pattern id, Pattern location, Pattern text, String why) {}

    private final List<Row> rows = new ArrayList<>();
    private final List<Integer> used = new ArrayList<>();

    Allowed(Path file) throws IOException {
        for (String line : Files.readAllLines(file)) {
            if (line.isBlank() || line.startsWith("#")) continue;
            String[] part = line.split("\t");
            if (part.length != 4 || part[3].isBlank()) throw new IllegalArgumentException(file + ": four columns are needed, the reason among them: " + line);
            rows.add(new Row(Pattern.compile(part[0]), Pattern.compile(part[1]), Pattern.compile(part[2]), part[3]));
            used.add(0);
        }
    }

    boolean allows(ValidationMessage message) {
        for (int n = 0; n < rows.size(); n++) {
            Row row = rows.get(n);
            if (row.id.matcher(String.valueOf(message.getMessageId())).matches() && row.location.matcher(message.getLocation()).find()
                    && row.text.matcher(message.getMessage()).find()) {
                used.set(n, used.get(n) + 1);
                return true;
            }
        }
        return false;
    }

    /** An allowance that nothing needs any more is a lie about what cannot be avoided. */
    List<String> unused() {
        List<String> found = new ArrayList<>();
        for (int n = 0; n < rows.size(); n++) if (used.get(n) == 0) found.add(rows.get(n).why);
        return found;
    }
}
