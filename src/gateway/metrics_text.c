/* metrics_text.c - the text Prometheus reads, of the tables of all subjects.
 * See metrics_internal.h.
 */
#include "base/utf8.h"
#include "gateway/metrics_internal.h"

#define TRUNCATED "# truncated\n"

/* Clients last: of their operations there may be 10,000. */
static const struct metrics_subject *const subjects[] = {
    &metrics_process, &metrics_backends, &metrics_access,
    &metrics_phases,  &metrics_export,   &metrics_clients,
};

enum { SUBJECTS = sizeof(subjects) / sizeof(*subjects) };

/* Writing */

static void put(struct metrics_out *o, const void *p, size_t n)
{
    if (!o->e)
        o->e = buf_add(o->b, p, n);
}

void metrics_put_z(struct metrics_out *o, const char *z)
{
    put(o, z, strlen(z));
}

void metrics_put_u64(struct metrics_out *o, uint64_t n)
{
    char digits[20], *p = digits + sizeof(digits);

    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    put(o, p, (size_t)(digits + sizeof(digits) - p));
}

/* n of so many in one, with so many digits. */
static void put_fraction(struct metrics_out *o, uint64_t n, uint64_t one,
                         size_t digits)
{
    char fraction[10] = ".";

    metrics_put_u64(o, n / one);
    for (size_t i = digits; i; i--, n /= 10)
        fraction[i] = (char)('0' + n % 10);
    put(o, fraction, 1 + digits);
}

void metrics_put_us(struct metrics_out *o, uint64_t us)
{
    put_fraction(o, us, 1000000, 6);
}

void metrics_put_ns(struct metrics_out *o, uint64_t ns)
{
    put_fraction(o, ns, 1000000000, 9);
}

/* A value between the quotes of a label, at most max bytes of it. */
static void put_escaped(struct metrics_out *o, struct str s, size_t max)
{
    while (s.len) {
        uint32_t code = 0;
        size_t n = utf8_next(s, &code), len;
        const char *p = s.p;

        len = n;
        if (!n || code < 0x20 || code == 0x7f) {
            p = code == '\n' ? "\\n" : UTF8_REPLACEMENT;
            len = strlen(p);
        } else if (code == '"' || code == '\\') {
            p = code == '"' ? "\\\"" : "\\\\";
            len = 2;
        }
        if (len > max)
            return;
        max -= len;
        put(o, p, len);
        s = str_skip(s, n ? n : 1);
    }
}

void metrics_put_label(struct metrics_out *o, const char *name,
                       struct str value, size_t max)
{
    metrics_put_z(o, name);
    metrics_put_z(o, "=\"");
    put_escaped(o, value, max);
    metrics_put_z(o, "\"");
}

void metrics_put_sample(struct metrics_out *o, const char *name,
                        const char *suffix, struct str labels, const char *last)
{
    metrics_put_z(o, name);
    metrics_put_z(o, suffix);
    if (labels.len || *last) {
        metrics_put_z(o, "{");
        put(o, labels.p, labels.len);
        if (labels.len && *last)
            metrics_put_z(o, ",");
        metrics_put_z(o, last);
        metrics_put_z(o, "}");
    }
    metrics_put_z(o, " ");
}

void metrics_put_line(struct metrics_out *o, const struct metrics_family *f,
                      const char *last, uint64_t value)
{
    metrics_put_sample(o, f->name, "", STR_NULL, last);
    metrics_put_u64(o, value);
    metrics_put_z(o, "\n");
}

void metrics_put_named(struct metrics_out *o, const struct metrics_family *f,
                       const char *label, struct str text, uint64_t value)
{
    metrics_put_z(o, f->name);
    metrics_put_z(o, "{");
    metrics_put_label(o, label, text, METRICS_TEXT_MAX);
    metrics_put_z(o, "} ");
    metrics_put_u64(o, value);
    metrics_put_z(o, "\n");
}

void metrics_print_u64(struct metrics_out *o, const struct metrics_family *f,
                       const struct metrics_view *v, size_t i)
{
    (void)i;
    metrics_put_line(o, f, "", metrics_u64_at(v, f->at));
}

void metrics_print_counter(struct metrics_out *o,
                           const struct metrics_family *f,
                           const struct metrics_view *v, size_t i)
{
    (void)v, (void)i;
    metrics_put_line(o, f, "", metrics_total(f->at));
}

size_t metrics_count_loops(const struct metrics_view *v)
{
    return v->loop_count;
}

void metrics_put_thread(struct metrics_out *o, const struct metrics_family *f,
                        size_t i)
{
    metrics_put_z(o, f->name);
    metrics_put_z(o, "{thread=\"");
    metrics_put_u64(o, i);
    metrics_put_z(o, "\"} ");
}

void metrics_print_loop(struct metrics_out *o, const struct metrics_family *f,
                        const struct metrics_view *v, size_t i)
{
    metrics_put_thread(o, f, i);
    metrics_put_u64(o, metrics_u64_at(&v->loops[i], f->at));
    metrics_put_z(o, "\n");
}

/* The walk */

static void print_heading(struct metrics_out *o, const struct metrics_family *f)
{
    metrics_put_z(o, "# HELP ");
    metrics_put_z(o, f->name);
    metrics_put_z(o, " ");
    metrics_put_z(o, f->help);
    metrics_put_z(o, "\n# TYPE ");
    metrics_put_z(o, f->name);
    metrics_put_z(o, " ");
    metrics_put_z(o, f->type);
    metrics_put_z(o, "\n");
}

static const struct metrics_family *present(const struct metrics_walk *w)
{
    return &subjects[w->subject]->families[w->family];
}

static void next_family(struct metrics_walk *w)
{
    w->at = 0;
    if (++w->family < subjects[w->subject]->count)
        return;
    w->family = 0;
    w->subject++;
}

/* Prints the entry the walk is at and moves on. ERR_LIMIT, and the buffer as
 * it was, when it does not fit. */
static enum err walk_step(struct metrics_walk *w, struct buf *b)
{
    const struct metrics_family *f = present(w);
    struct metrics_out o = { .b = b };
    size_t count = f->count ? f->count(w->view) : 1, len = b->len;

    if (w->at == 0 && count)
        print_heading(&o, f);
    if (w->at < count)
        f->print(&o, f, w->view, w->at);
    if (o.e) {
        b->len = len;
        return o.e;
    }
    if (++w->at >= count)
        next_family(w);
    return ERR_OK;
}

bool metrics_more(struct metrics_walk *w, struct buf *b)
{
    size_t start = b->len;

    while (w->subject < SUBJECTS && b->len - start < METRICS_PIECE)
        if (walk_step(w, b))
            w->subject = SUBJECTS; /* out of memory: a short text */
    return b->len > start;
}

void metrics_text(struct buf *b, const struct metrics_view *v)
{
    struct metrics_walk w = { .view = v };
    size_t max = b->max, last = strlen(TRUNCATED);
    enum err e = ERR_OK;

    if (max - b->len < last)
        return;
    b->max = max - last;
    while (w.subject < SUBJECTS && !e)
        e = walk_step(&w, b);
    b->max = max;
    if (e)
        (void)buf_z(b, TRUNCATED);
}
