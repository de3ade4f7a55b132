import org.springframework.boot.restclient.RestTemplateBuilder;
import org.springframework.boot.security.oauth2.server.resource.autoconfigure.JwkSetUriJwtDecoderBuilderCustomizer;
import org.springframework.boot.ssl.SslBundles;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.http.HttpMethod;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtTypeValidator;
import org.springframework.security.web.SecurityFilterChain;

/** Lets in whoever shows an access token with the scope. */
@Configuration
class ResourceServer {
    @Bean
    SecurityFilterChain api(HttpSecurity http) throws Exception {
        return http
                .authorizeHttpRequests(requests -> requests
                        .requestMatchers(HttpMethod.GET, "/invoices/**").hasAuthority("SCOPE_invoices:read")
                        .anyRequest().denyAll())
                .oauth2ResourceServer(server -> server.jwt(Customizer.withDefaults()))
                .build();
    }

    /** Takes access tokens (RFC 9068). Without it, Spring takes only tokens of the type JWT, or of none. */
    @Bean
    OAuth2TokenValidator<Jwt> accessTokens() {
        return new JwtTypeValidator("at+jwt");
    }

    /** Trusts ca.crt for the keys. */
    @Bean
    JwkSetUriJwtDecoderBuilderCustomizer keys(RestTemplateBuilder builder, SslBundles bundles) {
        var client = builder.sslBundle(bundles.getBundle("kubemint")).build();
        return decoder -> decoder.restOperations(client);
    }
}
