/* mutual_tls.c - client certificates, from TLS itself or from a balancer that
 * ended it (RFC 8705 speaks of what tokens have to do with them).
 *
 * Which certificates: those that an API names (gateway.apis[].certificates),
 * compared byte for byte; else every one that the listener's client_ca, or
 * for a balancer's field certificate_ca, has signed.
 */
#include "gateway/credential/credential.h"
#include "gateway/credential/credentials.h"
#include "gateway/credential/token_cache.h"
#include "gateway/exchange.h"
#include "gateway/worker.h"

enum { PINS_MAX = 256 };

struct mutual_tls {
    const struct credentials *credentials;
    const unsigned char (*pins)[32]; /* SHA-256 of DER */
    size_t pin_count;
};

/* ---- compiling ---- */

static enum err read_pins(const struct policy_input *in, struct mutual_tls *t)
{
    const struct conf_strings *files = &in->entry->certificates;
    unsigned char(*pins)[32] = arena_alloc(in->arena, PINS_MAX * 32);

    for (size_t i = 0; i < files->count; i++) {
        size_t more = 0;

        if (tls_certificates_sha256(files->items[i], pins + t->pin_count,
                                    PINS_MAX - t->pin_count, &more)) {
            problem_error(in->problems, in->doc->file, 0,
                          "gateway.apis[].certificates names %.*s, which is "
                          "no PEM file with certificates (at most %d in all)",
                          STR_ARG(files->items[i]), PINS_MAX);
            return ERR_INVALID;
        }
        t->pin_count += more;
    }
    t->pins = (const void *)pins;
    return ERR_OK;
}

static bool somebody_asks(const struct policy_input *in,
                          const struct mutual_tls *t)
{
    const struct listener_conf *l = in->conf->listeners.items;
    const struct passed_conf *passed = &in->credentials->passed;

    for (size_t i = 0; i < in->conf->listeners.count; i++)
        if (l[i].tls.client_verify != TLS_VERIFY_NONE)
            return true;
    return in->conf->trusted_proxies.count && passed->name.len &&
           (passed->store || t->pin_count);
}

static enum err prepare(const struct policy_input *in,
                        const struct oas_demand *demand, void **conf)
{
    const struct oas_operation *o = in->operation;
    struct mutual_tls *t = arena_alloc(in->arena, sizeof(*t));

    t->credentials = in->credentials;
    *conf = t;
    if (read_pins(in, t))
        return ERR_INVALID;
    if (somebody_asks(in, t))
        return ERR_OK;
    problem_error(in->problems, o->file, o->line,
                  "%.*s %.*s requires %.*s (%.*s), and no listener asks for a "
                  "certificate; in tollgate.yaml below the listener's tls: "
                  "`client_ca: ca.pem` and `client_verify: optional`, or for a "
                  "balancer that ends TLS gateway.trusted_proxies and "
                  "`authentication: {certificate_ca: ca.pem}`; or "
                  "--security off (for development)",
                  STR_ARG(o->method), STR_ARG(o->path),
                  STR_ARG(demand->scheme->name), STR_ARG(demand->scheme->type));
    return ERR_INVALID;
}

/* ---- a call ---- */

static bool is_pinned(const struct mutual_tls *t, const unsigned char hash[32])
{
    for (size_t i = 0; i < t->pin_count; i++)
        if (memcmp(t->pins[i], hash, 32) == 0)
            return true;
    return false;
}

static enum finding refuse(struct auth_run *run, enum explain_reason reason,
                           const struct str *subject)
{
    explain_note(&run->x->explain, EXPLAIN_CERTIFICATE, EXPLAIN_REFUSED, reason,
                 0, subject);
    run->refusal = &refusal_certificate;
    run->error = run->error_text = NULL;
    return FOUND_BAD;
}

/* Of a certificate that was shown; chain: somebody we trust has signed it. */
static enum finding judge(struct auth_run *run, const struct mutual_tls *t,
                          struct str subject, const unsigned char hash[32],
                          bool chain)
{
    struct arena *a = run->x->s.arena;
    struct caller *c = arena_alloc(a, sizeof(*c));

    c->kind = CALLER_CERTIFICATE;
    c->id = c->application = c->user = arena_copy(a, subject);
    if (t->pin_count && !is_pinned(t, hash))
        return refuse(run, REASON_CERTIFICATE_OTHER, &c->user);
    if (!t->pin_count && !chain)
        return refuse(run, REASON_CERTIFICATE_UNTRUSTED, &c->user);
    explain_note(&run->x->explain, EXPLAIN_CERTIFICATE, EXPLAIN_PASSED,
                 REASON_CERTIFICATE_GOOD, 0, &c->user);
    run->found = c;
    return FOUND_GOOD;
}

static enum finding refuse_passed(struct auth_run *run,
                                  enum explain_reason reason,
                                  const struct str *detail)
{
    credential_failed(run);
    return refuse(run, reason, detail);
}

static enum finding judge_passed(struct auth_run *run,
                                 const struct mutual_tls *t,
                                 const struct certificate *c)
{
    int64_t now_s = (int64_t)(loop_wall_us(run->x->worker->loop) / 1000000);
    struct str *subject = arena_alloc(run->x->s.arena, sizeof(*subject));
    enum finding f;

    *subject = arena_copy(run->x->s.arena, c->subject);
    if (now_s < c->from_s || now_s >= c->until_s)
        return refuse_passed(run, REASON_CERTIFICATE_DATES, subject);
    f = judge(run, t, *subject, c->sha256, c->chained);
    if (f == FOUND_BAD)
        credential_failed(run);
    return f;
}

/* What is known passes whatever the address did, as with tokens. */
static enum finding check_passed(struct auth_run *run,
                                 const struct mutual_tls *t)
{
    const struct passed_conf *conf = &t->credentials->passed;
    const struct certificate *c;
    struct str text;
    enum err e = passed_certificate_text(run->x, conf, &text);

    if (e == ERR_NOT_FOUND)
        return FOUND_NOTHING;
    c = e ? NULL : passed_certificate_known(run->x->worker, conf, text);
    if (!c) {
        if (!credential_may_try(run))
            return FOUND_BAD;
        c = e ? NULL : passed_certificate_read(run->x, conf, text);
    }
    return c ? judge_passed(run, t, c)
             : refuse_passed(run, REASON_CERTIFICATE_MALFORMED, &conf->name);
}

/* A field of somebody whose word does not count. */
static void note_unheard(struct auth_run *run, const struct passed_conf *c)
{
    struct str text;

    if (c->name.len && passed_certificate_text(run->x, c, &text) == ERR_OK)
        explain_note(&run->x->explain, EXPLAIN_CERTIFICATE, EXPLAIN_SKIPPED,
                     REASON_CERTIFICATE_UNHEARD, 0, &c->name);
}

static enum finding check(struct auth_run *run, const void *conf)
{
    const struct mutual_tls *t = conf;
    struct exchange *x = run->x;
    struct tls *tls = http_conn_tls(x->s.conn);
    unsigned char hash[32];
    char subject[512];
    size_t n;

    if (passed_certificate_counts(x, &t->credentials->passed))
        return check_passed(run, t);
    if (!tls || !tls_peer_sha256(tls, hash)) {
        note_unheard(run, &t->credentials->passed);
        return FOUND_NOTHING;
    }
    n = tls_peer_subject(tls, subject, sizeof(subject));
    return judge(run, t, str_from(subject, n), hash, tls_peer_verified(tls));
}

const struct credential_kind credential_mutual_tls = {
    .name = "a client certificate",
    .prepare = prepare,
    .check = check,
};
