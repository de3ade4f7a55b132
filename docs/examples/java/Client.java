import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Map;
import java.util.stream.Collectors;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Calls each URL that it is given with an access token, which it gets with the files of a mounted Secret. */
public class Client {
    static final Path SECRET = Path.of(System.getenv().getOrDefault("SECRET", "/var/run/oauth"));
    static final Path IDENTITY = Path.of(System.getenv().getOrDefault("IDENTITY", "/var/run/identity/token"));
    static final Duration PATIENCE = Duration.ofSeconds(10);

    private String token;
    private Instant expires = Instant.MIN;

    public static void main(String... urls) throws Exception {
        var client = new Client();
        var http = HttpClient.newHttpClient();
        for (var url : urls) {
            var request = HttpRequest.newBuilder(URI.create(url)).timeout(PATIENCE)
                    .header("Authorization", "Bearer " + client.accessToken()).build();
            System.out.print(send(http, request));
        }
    }

    /** Returns the token of before until 30 seconds before it expires. */
    synchronized String accessToken() throws Exception {
        var now = Instant.now();
        if (now.plusSeconds(30).isAfter(expires)) {
            JsonNode answer = fetchToken();
            token = answer.get("access_token").asText();
            expires = now.plusSeconds(answer.get("expires_in").asLong());
        }
        return token;
    }

    /** Gets a token. It reads the files anew, as the client secret rotates. */
    static JsonNode fetchToken() throws Exception {
        var request = HttpRequest.newBuilder(URI.create(read("token_url"))).timeout(PATIENCE)
                .header("Content-Type", "application/x-www-form-urlencoded");
        var grant = Map.of("grant_type", "client_credentials", "scope", "invoices:read");
        if (Files.exists(IDENTITY)) {
            var assertion = Map.of(
                    "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    "client_assertion", Files.readString(IDENTITY));
            request.POST(HttpRequest.BodyPublishers.ofString(form(grant) + "&" + form(assertion)));
        } else {
            var credentials = read("client_id") + ":" + read("client_secret");
            request.header("Authorization", "Basic " + Base64.getEncoder().encodeToString(credentials.getBytes(StandardCharsets.UTF_8)));
            request.POST(HttpRequest.BodyPublishers.ofString(form(grant)));
        }
        var http = HttpClient.newBuilder().sslContext(trusting(SECRET.resolve("ca.crt"))).build();
        return new ObjectMapper().readTree(send(http, request.build()));
    }

    static String send(HttpClient http, HttpRequest request) throws IOException, InterruptedException {
        var response = http.send(request, HttpResponse.BodyHandlers.ofString());
        if (response.statusCode() != 200) {
            throw new IOException(request.uri() + ": " + response.statusCode() + " " + response.body());
        }
        return response.body();
    }

    static String read(String key) throws IOException {
        return Files.readString(SECRET.resolve(key));
    }

    static String form(Map<String, String> parameters) {
        return parameters.entrySet().stream()
                .map(p -> p.getKey() + "=" + URLEncoder.encode(p.getValue(), StandardCharsets.UTF_8))
                .collect(Collectors.joining("&"));
    }

    /** Trusts the CA certificates in a file, PEM. */
    static SSLContext trusting(Path file) throws IOException, GeneralSecurityException {
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream pem = Files.newInputStream(file)) {
            for (Certificate ca : CertificateFactory.getInstance("X.509").generateCertificates(pem)) {
                store.setCertificateEntry("ca-" + store.size(), ca);
            }
        }
        var managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        managers.init(store);
        var context = SSLContext.getInstance("TLS");
        context.init(null, managers.getTrustManagers(), null);
        return context;
    }
}
