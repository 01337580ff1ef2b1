/* gateway_options.c - see gateway_options.h. */
#include "cmd/gateway_options.h"

#include <unistd.h>

#include "format/conf_read.h"
#include "format/uri.h"
#include "net/sock.h"

#define DEFAULT_FILE "tollgate.yaml"
#define THREADS_MAX 64

const struct option gateway_options[] = {
    { .name = "config",
      .value = "FILE",
      .help = "settings; `tollgate config reference` lists them\n"
              "Default: ./tollgate.yaml, when no document is named" },
    { .name = "http",
      .value = "ADDR",
      .repeats = true,
      .help = "listen for HTTP: 127.0.0.1:8280, :8280, unix:/run/x.sock" },
    { .name = "https",
      .value = "ADDR",
      .repeats = true,
      .help = "listen for HTTPS, like the first HTTPS listener of the\n"
              "settings, else with a local certificate" },
    { .name = "admin",
      .value = "ADDR",
      .help = "/health, /ready and /metrics; default 127.0.0.1:9797" },
    { .name = "upstream",
      .value = "URL",
      .help = "the backend of every API, instead of its own endpoints" },
    { .name = "threads",
      .value = "N",
      .help = "threads that serve; 0, the default: one per CPU" },
    { .name = "security",
      .value = "on|off",
      .help = "off: serve without the security the documents ask for" },
    { .name = "state-dir",
      .value = "DIR",
      .help = "folder for lock, control socket and keys" },
    { 0 },
};

/* ---- looked at once ---- */

static enum err check_addresses(struct arena *a, const struct arguments *args,
                                const char *name, struct str *wrong)
{
    struct address address;
    const char *text;
    size_t at = 0;

    while ((text = arguments_get(args, name, &at))) {
        if (!sock_parse(str_z(text), &address))
            continue;
        *wrong = arena_printf(a,
                              "--%s must be an address to listen on "
                              "(127.0.0.1:8280, [::1]:8280, :8280 or "
                              "unix:/run/x.sock), got \"%s\"",
                              name, text);
        return ERR_INVALID;
    }
    return ERR_OK;
}

static bool is_backend(struct arena *a, const char *text)
{
    struct url url;

    return !url_parse(a, str_z(text), &url) && url.host.len &&
           (str_is(url.scheme, "http") || str_is(url.scheme, "https") ||
            str_is(url.scheme, "unix"));
}

static enum err check_values(struct arena *a, const struct arguments *args,
                             struct gateway_flags *flags, struct str *wrong)
{
    const char *upstream = arguments_get(args, "upstream", NULL);
    const char *security = arguments_get(args, "security", NULL);
    const char *threads = arguments_get(args, "threads", NULL);

    if (upstream && !is_backend(a, upstream)) {
        *wrong = arena_printf(a,
                              "--upstream must be a URL such as "
                              "http://127.0.0.1:8080, got \"%s\"",
                              upstream);
        return ERR_INVALID;
    }
    if (security && strcmp(security, "on") != 0 &&
        strcmp(security, "off") != 0) {
        *wrong = arena_printf(a, "--security must be on or off, got \"%s\"",
                              security);
        return ERR_INVALID;
    }
    flags->threads_given = threads != NULL;
    if (threads && str_to_u64(str_z(threads), THREADS_MAX, &flags->threads)) {
        *wrong = arena_printf(a,
                              "--threads must be a number from 0 to %d, got "
                              "\"%s\"",
                              THREADS_MAX, threads);
        return ERR_INVALID;
    }
    return ERR_OK;
}

enum err gateway_flags(struct arena *a, const struct arguments *args,
                       struct gateway_flags *flags, struct str *wrong)
{
    static const char *const addresses[] = { "http", "https", "admin" };
    enum err e = ERR_OK;

    *flags = (struct gateway_flags) { .args = args };
    flags->file = str_z(arguments_get(args, "config", NULL));
    if (!flags->file.len && !args->word_count && !access(DEFAULT_FILE, F_OK))
        flags->file = STR(DEFAULT_FILE);
    for (size_t i = 0; i < 3 && !e; i++)
        e = check_addresses(a, args, addresses[i], wrong);
    return e ? e : check_values(a, args, flags, wrong);
}

bool gateway_flags_empty(const struct gateway_flags *flags)
{
    return !flags->file.len && !flags->args->word_count;
}

/* ---- applied at every load ---- */

/* What a listener of the kind is when only its address is known. */
static struct listener_conf template_of(struct arena *a,
                                        const struct gateway_conf *g, bool tls)
{
    const struct listener_conf *l = g->listeners.items;
    struct listener_conf made = { .local_certificate = tls };
    struct problems none;

    problems_init(&none, a);
    conf_read(a, tls_server_fields, NULL, STR_NULL, "", NULL, &made.tls, &none);
    for (size_t i = 0; i < g->listeners.count; i++)
        if ((l[i].local_certificate || l[i].tls.certificate.len) == tls)
            return l[i];
    return made;
}

static void put_listeners(struct conf_list *list, struct listener_conf like,
                          struct conf_strings addresses)
{
    struct listener_conf *l = list->items;

    for (size_t i = 0; i < addresses.count; i++) {
        like.address = addresses.items[i];
        l[list->count++] = like;
    }
}

/* Any --http or --https replaces what the file says about listeners. */
static void set_listeners(struct arena *a, const struct arguments *args,
                          struct gateway_conf *g)
{
    struct str usual = STR(":8280"), usual_tls = STR(":8243");
    struct conf_strings http = arguments_all(a, args, "http");
    struct conf_strings https = arguments_all(a, args, "https");
    struct conf_list list = { 0 };

    if (!http.count && !https.count) {
        if (g->listeners.count)
            return;
        http = (struct conf_strings) { &usual, 1 };
        https = (struct conf_strings) { &usual_tls, 1 };
    }
    list.items = arena_alloc(a, (http.count + https.count) *
                                    sizeof(struct listener_conf));
    put_listeners(&list, template_of(a, g, false), http);
    put_listeners(&list, template_of(a, g, true), https);
    g->listeners = list;
}

static void add_documents(struct arena *a, const struct arguments *args,
                          struct gateway_conf *g)
{
    size_t n = g->apis.count + args->word_count;
    struct api_conf *apis = arena_alloc(a, n * sizeof(*apis));

    if (g->apis.count)
        memcpy(apis, g->apis.items, g->apis.count * sizeof(*apis));
    for (size_t i = 0; i < args->word_count; i++)
        apis[g->apis.count + i].path = str_z(args->words[i]);
    g->apis = (struct conf_list) { apis, n };
}

static void apply(struct arena *a, const struct gateway_flags *flags,
                  struct settings *s)
{
    const struct arguments *args = flags->args;
    struct gateway_conf *g = &s->gateway;
    const char *value;

    set_listeners(a, args, g);
    add_documents(a, args, g);
    if ((value = arguments_get(args, "admin", NULL)))
        g->admin.address = str_z(value);
    if ((value = arguments_get(args, "upstream", NULL)))
        g->upstream = str_z(value);
    if ((value = arguments_get(args, "security", NULL)))
        g->security_off = !strcmp(value, "off");
    if ((value = arguments_get(args, "state-dir", NULL)))
        s->state_dir = str_z(value);
    if (flags->threads_given)
        g->threads = flags->threads;
}

enum err gateway_settings(struct arena *a, const struct gateway_flags *flags,
                          struct settings *out, struct problems *ps)
{
    enum err e = settings_read(a, flags->file, out, ps);

    apply(a, flags, out);
    /* With what the file said wrong, this would only say it again. */
    return e ? e : settings_check(a, out, ps);
}
