/* explain_reasons.h - every reason a step can have, in words.
 *
 * REASON(NAME, word, what, fix): the word is for machines; what says it to
 * somebody who knows nothing of gateways; fix says what would have made the
 * call pass, NULL where nothing was refused. %s is the reason's text and %u
 * its number, each at most once and only in what; fix may have %s too. Where
 * there is no text, a sentence ends before " (%s)" or ": %s".
 */
#ifndef REASON
#error "define REASON(NAME, word, what, fix)"
#endif

/* Sentences go over lines here. NOLINTBEGIN(bugprone-suspicious-missing-comma)
 */
REASON(ROUTED, "routed", "the call is for %s", NULL)
REASON(NO_ROUTE, "no_route", "no API is served at this address and path",
       "check host and path of the call; `tollgate config check` prints where "
       "each API is served")
REASON(NO_OPERATION, "no_operation",
       "the API is known, but it has no operation at this path",
       "call a path that the API's OpenAPI document has, or add it there")
REASON(NO_METHOD, "no_method",
       "the path is known, but not with this method; it has %s",
       "use one of the methods in the answer's Allow field")
REASON(TRANSPORT, "transport",
       "the API is not offered over %s (x-wso2-transports)",
       "call it over the other one of http and https")
REASON(BAD_REQUEST, "bad_request",
       "the request breaks the rules of HTTP in its path, query or fields",
       "mend the request; bytes that may not stand there are written as XX "
       "behind a percent sign")

REASON(NO_CREDENTIAL, "no_credential",
       "the call brought none of the credentials the operation asks for",
       "send one of those listed above as missing, in the place that the API's "
       "document names")
REASON(CREDENTIAL_ABSENT, "absent", "the call brings nothing for \"%s\"", NULL)
REASON(OPEN_WITHOUT, "open",
       "the operation may be called without a "
       "credential",
       NULL)
REASON(ATTEMPTS, "attempts",
       "too many calls with bad credentials came from this address",
       "wait until the window is over (Retry-After says when), and send good "
       "credentials; gateway.authentication.failures sets how many are "
       "allowed")

REASON(TOKEN_GOOD, "token_good",
       "the token of %s is good: its signature and claims were checked", NULL)
REASON(TOKEN_KNOWN, "token_known",
       "the token of %s is good, as was found for an earlier call", NULL)
REASON(TOKEN_ACTIVE, "token_active",
       "the token is active, as the server %s says (introspection)", NULL)
REASON(TOKEN_INACTIVE, "token_inactive",
       "the token is not active, as the server %s says (introspection)",
       "get a new token; this one has expired, was taken back, or was never "
       "issued there")
REASON(TOKEN_UNAVAILABLE, "token_unavailable",
       "nobody could say whether the token is good: %s",
       "try again later; whoever runs the gateway looks at the server named "
       "here, at gateway.outbound, and at the log")
REASON(TOKEN_MALFORMED, "token_malformed", "this is no token: %s",
       "send the token as the issuer gave it, whole, behind \"Bearer \"; "
       "tokens longer than gateway.authentication.token_size are refused")
REASON(TOKEN_EXPIRED, "token_expired", "the token has expired (%s)",
       "get a new token from the issuer; they are good until the time in their "
       "claim exp. If this one should be good, compare the clocks of issuer "
       "and gateway")
REASON(TOKEN_NOT_YET, "token_not_yet", "the token is not valid yet (%s)",
       "wait until the time in its claim nbf, or compare the clocks of issuer "
       "and gateway (gateway.issuers[].skew)")
REASON(TOKEN_ISSUER, "token_issuer",
       "nobody here trusts the issuer of the token: %s",
       "get a token from an issuer of gateway.issuers that this API trusts, or "
       "add this one there; the claim iss must match to the letter")
REASON(TOKEN_AUDIENCE, "token_audience",
       "the token is meant for others: its audience (%s) is none of ours",
       "ask the issuer for a token with one of gateway.issuers[].audiences in "
       "its claim aud")
REASON(TOKEN_KEY, "token_key",
       "the issuer has no key with the id that the token names (%s)",
       "get a new token; the issuer's key set (jwks) must have the key that "
       "signs it")
REASON(TOKEN_SIGNATURE, "token_signature",
       "the token's signature is not its issuer's: %s",
       "send the token unchanged, and get it from the real issuer")
REASON(TOKEN_ALGORITHM, "token_algorithm",
       "the token is signed in a way that is not accepted (%s)",
       "have the issuer sign with one of gateway.issuers[].algorithms that "
       "fits its key; \"none\" is never accepted")
REASON(TOKEN_TYPE, "token_type",
       "this is another kind of token: its typ is not accepted (%s)",
       "send an access token, not an ID token, refresh token or proof")
REASON(TOKEN_CLAIM, "token_claim",
       "the token lacks a claim, or has another value of it than is wanted: %s",
       "have the issuer put that claim into its tokens "
       "(gateway.issuers[].claims lists what is wanted)")
REASON(TOKEN_BINDING, "token_binding",
       "the token is bound to a certificate or key that did not come with the "
       "call (%s)",
       "call with the client certificate, or the DPoP proof, of who got the "
       "token")
REASON(TOKEN_UNBOUND, "token_unbound",
       "the token is bound to no key, and one with a proof (DPoP) is wanted",
       "get a token with the proof of a key (DPoP), so that the issuer binds "
       "it to that; or send one that is not bound with the scheme Bearer, "
       "where it may be (gateway.authentication.dpop)")
REASON(PROOF_GOOD, "proof_good",
       "the proof is good: the caller has the key that the token is bound to",
       NULL)
REASON(PROOF_SCHEME, "proof_scheme",
       "the token is bound to a key, and was sent as if it were not (Bearer)",
       "send it as \"Authorization: DPoP TOKEN\", with a proof in the field "
       "DPoP")
REASON(PROOF_MISSING, "proof_missing",
       "the token is bound to a key, and there is no proof, or more than one",
       "send one proof in one field DPoP, made for this call")
REASON(PROOF_BAD, "proof_bad", "the proof in the field DPoP is no good: %s",
       "make a proof for each call: htm its method, htu its URI as the client "
       "sees it (where a balancer stands between, trusted_proxies), ath the "
       "hash of the token, iat the time now, signed by the key of the token")
REASON(PROOF_AGAIN, "proof_again", "this proof was used before",
       "make a proof for each call, with a jti of its own")
REASON(PROOF_FULL, "proof_full",
       "no more proofs can be remembered now, so none can be taken",
       "call again later; gateway.authentication.dpop.replays gives more room")
REASON(TOKEN_KIND, "token_kind",
       "the operation wants the other kind of token, for an application or for "
       "a user (%s)",
       "get a token with the grant that fits: client credentials for an "
       "application, authorization code for a user (x-auth-type)")

REASON(KEY_GOOD, "key_good", "the API key %s is good", NULL)
REASON(KEY_MALFORMED, "key_malformed", "this is not the form of an API key",
       "send the key as `tollgate apikey new` printed it, whole; signed keys "
       "longer than gateway.authentication.token_size are refused")
REASON(KEY_SIGNATURE, "key_signature",
       "the API key was signed by nobody whose keys are taken here",
       "send a key of this gateway, unchanged; whose keys are taken else, "
       "gateway.api_keys.issuers says")
REASON(KEY_TYPE, "key_type",
       "this is a signed token, but of another kind than an API key",
       "send an API key: `tollgate apikey new --signed` makes one; access "
       "tokens go where the document asks for a token")
REASON(KEY_CLAIM, "key_claim",
       "the signed API key lacks a claim, or has one in a wrong form",
       "send a key with jti and token_type \"apiKey\", whose lists are as the "
       "manual has them")
REASON(KEY_NOT_YET, "key_not_yet", "the API key is not good yet (nbf)",
       "wait until then, or compare the clocks of who signed it and of the "
       "gateway")
REASON(KEY_UNKNOWN, "key_unknown", "nobody knows this API key",
       "send a key of this gateway; `tollgate apikey new` makes one")
REASON(KEY_REVOKED, "key_revoked", "the API key %s was revoked",
       "have a new key made: `tollgate apikey new`")
REASON(KEY_EXPIRED, "key_expired", "the API key %s has expired",
       "have a new key made: `tollgate apikey new`")
REASON(KEY_API, "key_api", "the API key %s is for other APIs",
       "use a key that is for this API too: `tollgate apikey new --api`")
REASON(KEY_ADDRESS, "key_address",
       "the API key %s is not taken from this address",
       "call from one of the key's addresses; `tollgate apikey list` shows "
       "them")
REASON(KEY_REFERER, "key_referer",
       "the API key %s is not taken from this page (Referer)",
       "call from one of the pages of the key; `tollgate apikey list` shows "
       "them")

REASON(KEY_ISSUED, "key_issued", "the API key %s was issued", NULL)
REASON(KEY_WISH, "key_wish",
       "no API key like this can be issued: %s is not as it must be, or more "
       "than may be given",
       "ask for what the user may have: his own scopes, APIs of "
       "gateway.apikey_issuer.apis, addresses and ranges, whole seconds")

REASON(PASSWORD_GOOD, "password_good", "the password of %s is good", NULL)
REASON(PASSWORD_BAD, "password_bad", "user name or password is wrong",
       "send a user name of gateway.users with its password")

REASON(CERTIFICATE_GOOD, "certificate_good",
       "the client certificate is good: %s", NULL)
REASON(CERTIFICATE_UNTRUSTED, "certificate_untrusted",
       "nobody we trust has signed the client certificate: %s",
       "call with a certificate of the listener's client_ca")
REASON(CERTIFICATE_OTHER, "certificate_other",
       "the client certificate is none of those the API names: %s",
       "call with one of gateway.apis[].certificates, or add this one there")

REASON(CERTIFICATE_MALFORMED, "certificate_malformed",
       "what the balancer passes on in %s is not one client certificate",
       "have the balancer send the field once, with the certificate as PEM "
       "with XX escapes behind percent signs, as base64, or as RFC 9440 has "
       "it")
REASON(CERTIFICATE_DATES, "certificate_dates",
       "the client certificate has expired, or is not good yet: %s",
       "call with one that is good today")
REASON(CERTIFICATE_UNHEARD, "certificate_unheard",
       "the field %s is not believed: it came from none of trusted_proxies",
       NULL)

REASON(SCOPE_FOUND, "scope_found", "the scope \"%s\" is there", NULL)
REASON(SCOPE_MISSING, "scope_missing", "the scope \"%s\" is missing",
       "ask the issuer for a token with the scope \"%s\" (or make the API key "
       "with it)")

#define DENY_FIX                                                         \
    "have the rule taken out: `tollgate deny list` shows it, `tollgate " \
    "deny remove ID` takes it back"
REASON(CLAIM_GOOD, "claim_good", "the claim \"%s\" is as it is wanted", NULL)
REASON(CLAIM_MISSING, "claim_missing",
       "the claim \"%s\" is asked for, and the credential does not have it",
       "have the issuer put the claim \"%s\" into its tokens; credentials "
       "without claims, such as keys of the file, cannot have it "
       "(x-tollgate-claims, gateway.apis[].claims)")
REASON(CLAIM_OTHER, "claim_other",
       "the claim \"%s\" has a value that is not wanted here",
       "call with a token whose claim \"%s\" is as x-tollgate-claims of the "
       "document, or gateway.apis[].claims, want it")

REASON(DENIED_ADDRESS, "denied_address",
       "calls from this address are blocked (%s)", DENY_FIX)
REASON(DENIED_API, "denied_api", "calls of this API are blocked (%s)", DENY_FIX)
REASON(DENIED_APPLICATION, "denied_application",
       "calls of this application are blocked (%s)", DENY_FIX)
REASON(DENIED_USER, "denied_user", "calls of this user are blocked (%s)",
       DENY_FIX)
REASON(DENIED_COUNTRY, "denied_country",
       "calls from this country are blocked (%s)", DENY_FIX)
REASON(DENIED_CONDITION, "denied_condition",
       "calls that meet this condition are blocked (%s)", DENY_FIX)

REASON(LIMIT_LEFT, "limit_left", "the limit %s has room", NULL)
REASON(LIMIT_REACHED, "limit_reached", "the limit %s is used up",
       "wait until its window is over (Retry-After says when), or use a higher "
       "tier")
REASON(LIMIT_BURST, "limit_burst", "calls come too fast for the limit %s",
       "spread the calls, or use a tier with a higher burst")
REASON(LIMIT_CONCURRENCY, "limit_concurrency",
       "too many calls are under way for the limit %s",
       "wait until earlier calls have ended")
REASON(LIMIT_BACKEND, "limit_backend",
       "the backend takes no more calls now: its limit %s is used up",
       "call again later (Retry-After says when)")
REASON(LIMIT_UNKNOWN, "limit_unknown",
       "the credential names a tier that nobody knows: %s",
       "have the tier put into the file of gateway.policies, or a credential "
       "made with another one")
REASON(LIMIT_TABLE, "limit_table", "there is no room to count this caller (%s)",
       "call again later; the operator may give the counters more room")

REASON(ENDPOINT_CHOSEN, "endpoint", "the call goes to %s", NULL)
REASON(ENDPOINT_NONE, "no_endpoint",
       "no endpoint of the backend can be used now: %s",
       "bring the backend up; the log says why it was set aside, and it is "
       "tried again by itself")
REASON(ENDPOINT_FAILED, "endpoint_failed", "the backend did not answer: %s",
       "see that the backend runs, is reachable from the gateway, and answers "
       "in time (gateway.upstreams)")
REASON(ANSWERED, "answered", "the backend answered with %u", NULL)
REASON(OTHER, "other", "the gateway refused it: %s",
       "see the description in the answer")

/* NOLINTEND(bugprone-suspicious-missing-comma) */
