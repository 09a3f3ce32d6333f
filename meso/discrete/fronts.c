/* U^T D U of a symmetric matrix, front by front, D = 1 or -1: see fronts.py, which defines `real`,
   what entries are kept as, and LANES, right-hand sides in one vector of the processor. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

/* Rows of a factor that are taken at a time, and numbers in a vector. */
#define ROWS 4
#define WIDTH 8
#if LANES > 1
typedef real lanes __attribute__((vector_size(sizeof(real) * LANES)));
#else
typedef real lanes;
#endif
typedef double row __attribute__((vector_size(8 * WIDTH), aligned(8)));

struct factor {
    int32_t n, fronts;
    int32_t whole;    /* fronts that are eliminated: all, or all but the last */
    int32_t *start;   /* first unknown of each front, in the order of elimination */
    int64_t *first;   /* its first row in `below`, padded to multiples of ROWS with n */
    int64_t *values;  /* its first value: triangle of the front, then rows below it */
    int32_t *below;
    int32_t *place;   /* in the order of elimination */
    real *entries;
    real *sign;       /* of pivots */
    double *rest;     /* what is left for the last front, if it is kept: its upper triangle */
    lanes *x;         /* n + 1 rows */
};

void discard(struct factor *f)
{
    if (!f)
        return;
    free(f->start), free(f->first), free(f->values), free(f->below), free(f->place);
    free(f->entries), free(f->sign), free(f->rest), free(f->x), free(f);
}

/* A symmetric matrix, or half of it, in the order of elimination: entries right of the diagonal or
   on it, row by row. */
struct half {
    int64_t *pointer;
    int32_t *index;
    double *value;
};

static void forget(struct half *a) { free(a->pointer), free(a->index), free(a->value); }

/* From the entries on and above the diagonal; whether there was memory for it. */
static int permute(struct half *a, int32_t n, const int32_t *place, const int32_t *pointer,
                   const int32_t *index, const double *value)
{
    a->pointer = calloc(n + 2, sizeof(int64_t));
    a->index = malloc(sizeof(int32_t) * (pointer[n] + 1));
    a->value = malloc(sizeof(double) * (pointer[n] + 1));
    if (!a->pointer || !a->index || !a->value)
        return 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int32_t i = 0; i < n; i++)
            for (int32_t k = pointer[i]; k < pointer[i + 1]; k++) {
                const int32_t one = place[i], other = place[index[k]];
                const int32_t first = one < other ? one : other;
                if (index[k] < i)
                    continue;
                if (!pass) {
                    a->pointer[first + 2]++;
                    continue;
                }
                const int64_t to = a->pointer[first + 1]++;
                a->index[to] = one + other - first, a->value[to] = value[k];
            }
        for (int32_t i = 0; !pass && i < n; i++)
            a->pointer[i + 2] += a->pointer[i + 1];
    }
    return 1;
}

/* Rows of each front below it: those of its own columns and of its children, sorted. */
static int structure(struct factor *f, const struct half *a, int32_t *parent)
{
    int64_t room = 16 * (int64_t)f->n + 64, used = 0;
    int32_t *mark = malloc(sizeof(int32_t) * (f->n + 1)), *front = malloc(sizeof(int32_t) * (f->n + 1));
    int32_t *child = malloc(sizeof(int32_t) * (f->fronts + 1));
    int32_t *next = malloc(sizeof(int32_t) * (f->fronts + 1));
    f->below = malloc(sizeof(int32_t) * room);
    int fine = mark && front && child && next && f->below;
    for (int32_t s = 0; fine && s < f->fronts; s++) {
        child[s] = next[s] = parent[s] = -1;
        for (int32_t j = f->start[s]; j < f->start[s + 1]; j++)
            front[j] = s, mark[j] = -1;
    }
    for (int32_t s = 0; fine && s < f->fronts; s++) {
        const int32_t end = f->start[s + 1];
        int64_t most = a->pointer[end] - a->pointer[f->start[s]];
        for (int32_t c = child[s]; c >= 0; c = next[c])
            most += f->first[c + 1] - f->first[c];
        if (used + most + ROWS > room) {
            room = 2 * room + most + ROWS;
            int32_t *larger = realloc(f->below, sizeof(int32_t) * room);
            if (!(fine = larger != NULL))
                break;
            f->below = larger;
        }
        f->first[s] = used;
        int32_t *own = f->below + used, count = 0, low = f->n;
#define TAKE(i)                                                                                    \
    if ((i) >= end && (i) < f->n && mark[i] != s) {                                                \
        mark[i] = s, own[count++] = (i);                                                           \
        if ((i) < low)                                                                             \
            low = (i);                                                                             \
    }
        for (int64_t k = a->pointer[f->start[s]]; k < a->pointer[end]; k++)
            TAKE(a->index[k])
        for (int32_t c = child[s]; c >= 0; c = next[c])
            for (int64_t k = f->first[c]; k < f->first[c + 1]; k++)
                TAKE(f->below[k])
        if (count)
            parent[s] = front[low], next[s] = child[front[low]], child[front[low]] = s;
        while (count % ROWS)
            own[count++] = f->n;
        used += count, f->first[s + 1] = used;
    }
    free(mark), free(front), free(child), free(next);
    return fine;
}

/* F[i] -= sum over k < count of sign[k] F[k][i] F[k], from column i on, for some rows of (n, width). */
static void subtract(double *F, int width, int i, int rows, int count, const real *sign)
{
    for (int j = i; j < width; j += WIDTH) {
        row sum[ROWS] = {{0}};
        for (int k = 0; k < count; k++) {
            const double *own = F + (int64_t)k * width;
            const row from = *(const row *)(own + j) * (double)sign[k];
            for (int r = 0; r < ROWS; r++)
                sum[r] += own[i + r] * from;
        }
        for (int r = 0; r < rows; r++)
            for (int l = 0; l < WIDTH && j + l < width; l++)
                F[(int64_t)(i + r) * width + j + l] -= sum[r][l];
    }
}

/* The first m rows of an upper triangle become those of U, the rest what is left: 0, or the first
   pivot, from 1, that has not its sign. */
static int eliminate(double *F, int n, int m, const real *sign)
{
    for (int i = 0; i < n; i += ROWS) {
        const int rows = n - i < ROWS ? n - i : ROWS, count = i < m ? i : m;
        subtract(F, n, i, rows, count, sign);
        for (int a = i; a < i + rows && a < m; a++) {
            double *own = F + (int64_t)a * n;
            const double pivot = own[a] * sign[a];
            if (!(pivot > 0.0))
                return a + 1;
            const double scale = sign[a] / sqrt(pivot);
            for (int j = a; j < n; j++)
                own[j] *= scale;
            for (int b = a + 1; b < i + rows; b++)
                for (int j = b; j < n; j++)
                    F[(int64_t)b * n + j] -= sign[a] * own[b] * own[j];
        }
    }
    return 0;
}

static int numbers(struct factor *f, const struct half *a, const int32_t *parent)
{
    int bad = 0;
    int64_t most = 0;
    for (int32_t s = 0; s < f->fronts; s++) {
        const int64_t m = f->start[s + 1] - f->start[s], all = m + f->first[s + 1] - f->first[s];
        most = all > most ? all : most;
    }
    double *F = malloc(sizeof(double) * (most * most + WIDTH + ROWS));
    double **left = calloc(f->fronts + 1, sizeof(double *));
    int32_t *at = malloc(sizeof(int32_t) * (f->n + 1));
    int32_t *child = malloc(sizeof(int32_t) * (f->fronts + 1));
    int32_t *next = malloc(sizeof(int32_t) * (f->fronts + 1));
    if (!F || !left || !at || !child || !next)
        bad = -1;
    for (int32_t s = 0; !bad && s < f->fronts; s++)
        child[s] = next[s] = -1;
    for (int32_t s = 0; !bad && s < f->fronts; s++) {
        const int32_t begin = f->start[s], m = f->start[s + 1] - begin;
        const int32_t *below = f->below + f->first[s];
        int32_t count = f->first[s + 1] - f->first[s];
        const int32_t padded = count;
        while (count && below[count - 1] == f->n)
            count--;
        const int64_t n = m + count;
        memset(F, 0, sizeof(double) * (n * n + WIDTH + ROWS));
        for (int32_t j = 0; j < m; j++)
            at[begin + j] = j;
        for (int32_t j = 0; j < count; j++)
            at[below[j]] = m + j;
        for (int32_t j = 0; j < m; j++)
            for (int64_t k = a->pointer[begin + j]; k < a->pointer[begin + j + 1]; k++)
                F[j * n + at[a->index[k]]] += a->value[k];
        for (int32_t c = child[s]; c >= 0; c = next[c]) {
            const int32_t *own = f->below + f->first[c];
            const double *from = left[c];
            int32_t size = f->first[c + 1] - f->first[c];
            while (size && own[size - 1] == f->n)
                size--;
            for (int32_t i = 0; i < size; i++)
                for (int32_t j = i, x = at[own[i]]; j < size; j++) {
                    const int32_t y = at[own[j]];
                    F[x < y ? x * n + y : y * n + x] += from[i * (int64_t)size + j];
                }
            free(left[c]), left[c] = NULL;
        }
        if (s == f->whole) {
            memcpy(f->rest, F, sizeof(double) * n * n);
            break;
        }
        const int pivot = eliminate(F, n, m, f->sign + begin);
        if (pivot) {
            bad = begin + pivot;
            break;
        }
        real *out = f->entries + f->values[s];
        for (int32_t i = 0; i < m; i++)
            for (int32_t k = 0; k <= i; k++)
                *out++ = k < i ? F[k * n + i] : 1.0 / F[i * n + i];
        for (int32_t i = 0; i < padded; i += ROWS)
            for (int32_t k = 0; k < m; k++)
                for (int r = 0; r < ROWS; r++)
                    *out++ = i + r < count ? F[k * n + m + i + r] : 0.0;
        if (parent[s] >= 0) {
            if (!(left[s] = malloc(sizeof(double) * (count * (int64_t)count + 1))))
                bad = -1;
            for (int32_t i = 0; !bad && i < count; i++)
                memcpy(left[s] + i * (int64_t)count + i, F + (m + i) * n + m + i,
                       sizeof(double) * (count - i));
            next[s] = child[parent[s]], child[parent[s]] = s;
        }
    }
    for (int32_t s = 0; left && s < f->fronts; s++)
        free(left[s]);
    free(F), free(left), free(at), free(child), free(next);
    return bad;
}

/* The factor of a symmetric matrix (n, n), both triangles or the upper one in compressed rows. Its
   first rows have positive pivots, others negative ones. `order` are its rows as they are
   eliminated, `start` (fronts + 1) the first one of each front, of which `whole` are eliminated.
   `bad` is 0, -1 for want of memory, or one more than the place of the first pivot that has not its
   sign. */
struct factor *factorise(int32_t n, int32_t fronts, int32_t whole, int32_t positive,
                         const int32_t *pointer,
                         const int32_t *index, const double *value, const int32_t *order,
                         const int32_t *start, int *bad)
{
    struct factor *f = calloc(1, sizeof(struct factor));
    int32_t *parent = malloc(sizeof(int32_t) * (fronts + 1));
    struct half a = {0};
    *bad = -1;
    if (f && parent) {
        f->n = n, f->fronts = fronts, f->whole = whole;
        f->start = malloc(sizeof(int32_t) * (fronts + 1));
        f->first = calloc(fronts + 1, sizeof(int64_t));
        f->values = malloc(sizeof(int64_t) * (fronts + 1));
        f->place = malloc(sizeof(int32_t) * (n + 1));
        f->sign = malloc(sizeof(real) * (n + 1));
        f->x = aligned_alloc(64, 64 * ((sizeof(lanes) * (n + 1) + 63) / 64));
        const int64_t kept = whole < fronts ? n - start[whole] : 0;
        f->rest = malloc(sizeof(double) * (kept * kept + 1));
        if (f->start && f->first && f->values && f->place && f->sign && f->x && f->rest) {
            memcpy(f->start, start, sizeof(int32_t) * (fronts + 1));
            for (int32_t j = 0; j < n; j++)
                f->place[order[j]] = j, f->sign[j] = order[j] < positive ? 1.0 : -1.0;
            if (permute(&a, n, f->place, pointer, index, value) && structure(f, &a, parent)) {
                f->values[0] = 0;
                for (int32_t s = 0; s < fronts; s++) {
                    const int64_t m = s < whole ? start[s + 1] - start[s] : 0;
                    f->values[s + 1] = f->values[s] + m * (m + 1) / 2 +
                                       m * (f->first[s + 1] - f->first[s]);
                }
                f->entries = malloc(sizeof(real) * (f->values[fronts] + 1));
                if (f->entries)
                    *bad = numbers(f, &a, parent);
            }
        }
    }
    free(parent), forget(&a);
    if (*bad) {
        discard(f);
        return NULL;
    }
    return f;
}

/* Entries of the factor. */
int64_t entries(const struct factor *f) { return f->values[f->fronts]; }

/* What is left for the front that is kept: its upper triangle, row by row. */
const double *rest(const struct factor *f) { return f->rest; }

static void forth(const struct factor *f)
{
    lanes *x = f->x;
    for (int32_t s = 0; s < f->whole; s++) {
        const int32_t m = f->start[s + 1] - f->start[s];
        const real *L = f->entries + f->values[s];
        lanes *own = x + f->start[s];
        for (int32_t i = 0; i < m; i++) {
            lanes sum = own[i];
            for (int32_t k = 0; k < i; k++)
                sum -= *L++ * own[k];
            own[i] = *L++ * sum;
        }
        for (int64_t i = f->first[s]; i < f->first[s + 1]; i += ROWS) {
            lanes sum[ROWS] = {0};
            for (int32_t k = 0; k < m; k++, L += ROWS)
                for (int r = 0; r < ROWS; r++)
                    sum[r] += L[r] * own[k];
            for (int r = 0; r < ROWS; r++)
                x[f->below[i + r]] -= sum[r];
        }
    }
}

static void back(const struct factor *f)
{
    lanes *x = f->x, last[ROWS];
    x[f->n] -= x[f->n];
    for (int32_t s = f->whole - 1; s >= 0; s--) {
        const int64_t m = f->start[s + 1] - f->start[s];
        const real *triangle = f->entries + f->values[s], *L = triangle + m * (m + 1) / 2;
        lanes *own = x + f->start[s];
        for (int64_t i = 0; i < m; i++)
            own[i] *= f->sign[f->start[s] + i];
        for (int64_t i = f->first[s]; i < f->first[s + 1]; i += ROWS) {
            for (int r = 0; r < ROWS; r++)
                last[r] = x[f->below[i + r]];
            for (int32_t k = 0; k < m; k++, L += ROWS)
                own[k] -= (L[0] * last[0] + L[1] * last[1]) + (L[2] * last[2] + L[3] * last[3]);
        }
        for (int64_t i = m - 1; i >= 0; i--) {
            const real *U = triangle + i * (i + 1) / 2;
            own[i] *= U[i];
            for (int32_t k = 0; k < i; k++)
                own[k] -= U[k] * own[i];
        }
    }
}

/* What decays ends in numbers that are too small to be normal, for which processors are slow: zeros
   instead, if -1 is given, or what was `before`, which is returned. */
static unsigned flush(int64_t before)
{
#ifdef __SSE__
    const unsigned now = _mm_getcsr();
    _mm_setcsr(before < 0 ? now | 0x8040 : (unsigned)before);
    return now;
#else
    return 0;
#endif
}

/* Solve for some columns of right, the same ones of z, both (columns, n): forth, back, or (`way` is
   1, 2 or 3) both. Between them rows that are kept are what is left of the right-hand side, then
   the solution. */
void solve(const struct factor *f, int way, int count, const int64_t *columns,
           const double *right, double *z)
{
    const int32_t n = f->n;
    real *x = (real *)f->x;
    const unsigned before = flush(-1);
    for (int c = 0; c < count; c += LANES) {
        const int here = count - c < LANES ? count - c : LANES;
        memset(x, 0, sizeof(lanes) * (n + 1));
        for (int l = 0; l < here; l++) {
            const double *from = right + columns[c + l] * n;
            for (int32_t i = 0; i < n; i++)
                x[(int64_t)f->place[i] * LANES + l] = from[i];
        }
        if (way & 1)
            forth(f);
        if (way & 2)
            back(f);
        for (int l = 0; l < here; l++) {
            double *to = z + columns[c + l] * n;
            for (int32_t i = 0; i < n; i++)
                to[i] = x[(int64_t)f->place[i] * LANES + l];
        }
    }
    flush(before);
}
