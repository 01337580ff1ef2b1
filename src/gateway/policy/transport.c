/* transport.c - refuse calls over a transport the API does not offer
 * (x-wso2-transports).
 */
#include "gateway/exchange.h"

struct transport {
    bool http, https;
};

static enum err prepare(const struct policy_input *in, void *conf)
{
    struct transport *t = conf;

    if (in->doc->http && in->doc->https)
        return ERR_NOT_FOUND;
    t->http = in->doc->http;
    t->https = in->doc->https;
    return ERR_OK;
}

static enum verdict on_request(const void *conf, struct exchange *x)
{
    static const struct str http = { "http", 4 }, https = { "https", 5 };
    const struct transport *t = conf;

    if (x->tls ? t->https : t->http)
        return VERDICT_NEXT;
    explain_note(&x->explain, EXPLAIN_TRANSPORT, EXPLAIN_REFUSED,
                 REASON_TRANSPORT, 0, x->tls ? &https : &http);
    exchange_refuse(x, x->tls ? &refusal_https_not_allowed
                              : &refusal_http_not_allowed);
    return VERDICT_ANSWERED;
}

const struct policy policy_transport = {
    .name = "transport",
    .conf_size = sizeof(struct transport),
    .prepare = prepare,
    .on_request = on_request,
};
