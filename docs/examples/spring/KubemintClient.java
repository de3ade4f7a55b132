import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.springframework.boot.restclient.autoconfigure.RestClientSsl;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.http.converter.FormHttpMessageConverter;
import org.springframework.security.authentication.AnonymousAuthenticationToken;
import org.springframework.security.core.authority.AuthorityUtils;
import org.springframework.security.oauth2.client.AuthorizedClientServiceOAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.client.ClientCredentialsOAuth2AuthorizedClientProvider;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClientService;
import org.springframework.security.oauth2.client.endpoint.RestClientClientCredentialsTokenResponseClient;
import org.springframework.security.oauth2.client.http.OAuth2ErrorResponseErrorHandler;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.web.client.OAuth2ClientHttpRequestInterceptor;
import org.springframework.security.oauth2.core.http.converter.OAuth2AccessTokenResponseHttpMessageConverter;
import org.springframework.web.client.RestClient;

/** A RestClient that adds an access token of this workload to each request. It gets another one a minute before the token expires. */
@Configuration
class KubemintClient {
    private static final Path SECRET = Path.of("/var/run/oauth/client_secret");
    private static final Path IDENTITY = Path.of("/var/run/identity/token");

    @Bean
    RestClient invoices(RestClient.Builder builder, RestClientSsl ssl, ClientRegistrationRepository registrations,
            OAuth2AuthorizedClientService tokens) {
        var provider = new ClientCredentialsOAuth2AuthorizedClientProvider();
        provider.setAccessTokenResponseClient(tokenClient(ssl));
        var manager = new AuthorizedClientServiceOAuth2AuthorizedClientManager(registrations, tokens);
        manager.setAuthorizedClientProvider(provider);
        // One token for all requests, whoever they are made for.
        var workload = new AnonymousAuthenticationToken("workload", "workload", AuthorityUtils.createAuthorityList("WORKLOAD"));
        var interceptor = new OAuth2ClientHttpRequestInterceptor(manager);
        interceptor.setClientRegistrationIdResolver(request -> "invoices");
        interceptor.setPrincipalResolver(request -> workload);
        return builder.baseUrl("https://invoices.billing.svc").requestInterceptor(interceptor).build();
    }

    private static RestClientClientCredentialsTokenResponseClient tokenClient(RestClientSsl ssl) {
        var client = new RestClientClientCredentialsTokenResponseClient();
        client.setRestClient(RestClient.builder()
                .apply(ssl.fromBundle("kubemint"))
                .configureMessageConverters(converters -> {
                    converters.addCustomConverter(new FormHttpMessageConverter());
                    converters.addCustomConverter(new OAuth2AccessTokenResponseHttpMessageConverter());
                })
                .defaultStatusHandler(new OAuth2ErrorResponseErrorHandler())
                .build());
        client.setParametersCustomizer(parameters -> parameters.setAll(proof()));
        return client;
    }

    /** Reads the file anew for each token, as what it holds rotates. */
    private static Map<String, String> proof() {
        try {
            if (Files.exists(IDENTITY)) {
                return Map.of("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                        "client_assertion", Files.readString(IDENTITY));
            }
            return Map.of("client_secret", Files.readString(SECRET));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
