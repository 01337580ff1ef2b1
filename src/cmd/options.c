/* options.c - see options.h. */
#include "cmd/options.h"

#include "base/log.h"

struct line {
    struct arena *a;
    const struct option *table;
    int argc, at;
    char **argv;
    struct given *given;
    const char **words;
    struct arguments *out;
    struct str *wrong;
};

const char *option_nearest(const struct option *table, struct str name)
{
    const char *best = NULL;
    size_t nearest = SIZE_MAX;

    for (; table && table->name; table++) {
        size_t d = conf_distance(name, str_z(table->name));

        if (d < nearest && conf_resembles(name, str_z(table->name))) {
            nearest = d;
            best = table->name;
        }
    }
    return best;
}

static const struct option *find(const struct option *table, struct str name)
{
    for (; table && table->name; table++)
        if (str_is(name, table->name))
            return table;
    return NULL;
}

static enum err unknown(struct line *l, struct str name)
{
    const char *near = option_nearest(l->table, name);

    *l->wrong = arena_printf(l->a, "unknown option --%.*s%s%s%s", STR_ARG(name),
                             near ? "; did you mean --" : "", near ? near : "",
                             near ? "?" : "");
    return ERR_INVALID;
}

static bool given_before(const struct line *l, const struct option *o)
{
    for (size_t i = 0; i < l->out->given_count; i++)
        if (l->given[i].option == o)
            return true;
    return false;
}

/* What follows the dashes: name or name=value. */
static enum err take_option(struct line *l, struct str text)
{
    struct str name = str_cut(&text, '=');
    const struct option *o = find(l->table, name);
    const char *value = text.p;

    if (!o)
        return unknown(l, name);
    if (given_before(l, o) && !o->repeats) {
        *l->wrong = arena_printf(l->a, "--%s is given twice", o->name);
        return ERR_INVALID;
    }
    if (!o->value && value) {
        *l->wrong = arena_printf(l->a, "--%s takes no value", o->name);
        return ERR_INVALID;
    }
    if (o->value && !value)
        value = l->at < l->argc ? l->argv[l->at++] : "";
    if (o->value && !*value) {
        *l->wrong = arena_printf(l->a, "--%s wants %s", o->name, o->value);
        return ERR_INVALID;
    }
    l->given[l->out->given_count++] = (struct given) { o, value ? value : "" };
    return ERR_OK;
}

static enum err take(struct line *l, const char *arg)
{
    if (arg[0] != '-' || !arg[1]) {
        l->words[l->out->word_count++] = arg;
        return ERR_OK;
    }
    if (!strcmp(arg, "-h") || !strcmp(arg, "--help")) {
        l->out->help = true;
        return ERR_OK;
    }
    if (!strcmp(arg, "--")) {
        while (l->at < l->argc)
            l->words[l->out->word_count++] = l->argv[l->at++];
        return ERR_OK;
    }
    if (arg[1] == '-')
        return take_option(l, str_z(arg + 2));
    *l->wrong = arena_printf(l->a, "unknown option %s", arg);
    return ERR_INVALID;
}

enum err options_parse(struct arena *a, const struct option *table, int argc,
                       char **argv, struct arguments *out, struct str *wrong)
{
    struct line l = { .a = a, .table = table, .argc = argc, .argv = argv };
    enum err e = ERR_OK;

    must(argc >= 0);
    *out = (struct arguments) { 0 };
    l.given = arena_alloc(a, (size_t)argc * sizeof(*l.given));
    l.words = arena_alloc(a, (size_t)argc * sizeof(*l.words));
    l.out = out;
    l.wrong = wrong;
    out->given = l.given;
    out->words = l.words;
    while (!e && l.at < argc)
        e = take(&l, argv[l.at++]);
    /* Who asks for help gets it, whatever else is wrong. */
    for (int i = 0; e && i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            out->help = true;
    return out->help ? ERR_OK : e;
}

const char *arguments_get(const struct arguments *args, const char *name,
                          size_t *at)
{
    size_t first = 0;

    if (!at)
        at = &first;
    while (*at < args->given_count) {
        const struct given *g = &args->given[(*at)++];

        if (!strcmp(g->option->name, name))
            return g->value;
    }
    return NULL;
}

struct conf_strings arguments_all(struct arena *a, const struct arguments *args,
                                  const char *name)
{
    struct conf_strings list = {
        arena_alloc(a, args->given_count * sizeof(struct str) + 1), 0
    };
    const char *value;
    size_t at = 0;

    while ((value = arguments_get(args, name, &at)))
        list.items[list.count++] = str_z(value);
    return list;
}

enum err arguments_time(const struct arguments *args, const char *name,
                        uint64_t max_days, uint64_t *ms)
{
    const char *text = arguments_get(args, name, NULL);
    uint64_t given;

    if (!text)
        return ERR_OK;
    if (conf_parse_duration_ms(str_z(text), &given) || given < 1000 ||
        given > max_days * 24 * 3600 * 1000)
        return ERR_INVALID;
    *ms = given;
    return ERR_OK;
}
