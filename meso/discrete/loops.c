/* Loops over cells for which NumPy has no product: see loops.py. All arrays are contiguous. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Several cells at a time: one in each lane of a vector. */
#define LANES 8
typedef double lanes __attribute__((vector_size(8 * LANES)));

/* y[j] -= sum over k < count of f[k] x[k][j], for j from `begin` to `end`; rows of x have `width`. */
static void reduce(lanes *restrict y, const lanes *restrict x, const lanes *restrict f, int count,
                   int width, int begin, int end)
{
    int j = begin;
    for (; j + 6 <= end; j += 6) {
        lanes a = y[j], b = y[j + 1], c = y[j + 2], d = y[j + 3], e = y[j + 4], g = y[j + 5];
        for (int k = 0; k < count; k++) {
            const lanes *from = x + k * width + j, own = f[k];
            a -= own * from[0], b -= own * from[1], c -= own * from[2];
            d -= own * from[3], e -= own * from[4], g -= own * from[5];
        }
        y[j] = a, y[j + 1] = b, y[j + 2] = c, y[j + 3] = d, y[j + 4] = e, y[j + 5] = g;
    }
    for (; j < end; j++) {
        lanes a = y[j];
        for (int k = 0; k < count; k++)
            a -= f[k] * x[k * width + j];
        y[j] = a;
    }
}

/* Eliminates the last m of n + m unknowns of symmetric matrices (U^T D U without pivoting, of their
   upper triangles) with r right-hand sides each, (c, n + m, r). What is left of matrices and
   right-hand sides goes to (c, n, n + r), A_ii^-1 times the coupling to the others and times the
   right-hand sides to (c, m, n + r). Returns -1, or the first of some cells with a pivot that is
   nothing beside its row, or -2 for want of memory. */
int64_t eliminate(int64_t count, int n, int m, int r, const double *matrices, const double *right,
                  double *left, double *inner)
{
    const int all = n + m, width = all + r, outer = n + r;
    /* With what is eliminated first. */
    lanes *U = aligned_alloc(sizeof(lanes), sizeof(lanes) * (all * width + m * outer + 2 * m));
    if (!U)
        return -2;
    lanes *X = U + all * width, *f = X + m * outer, *inverse = f + m;
    int64_t bad = -1;
    for (int64_t c = 0; c < count && bad == -1; c += LANES) {
        const double *own[LANES];
        for (int l = 0; l < LANES; l++)
            own[l] = matrices + (c + l < count ? c + l : count - 1) * all * all;
        for (int i = 0; i < all; i++) {
            const int a = (i + n) % all;
            for (int j = i; j < all; j++) {
                const int b = (j + n) % all, at = a < b ? a * all + b : b * all + a;
                for (int l = 0; l < LANES; l++)
                    U[i * width + j][l] = own[l][at];
            }
            for (int j = 0; j < r; j++)
                for (int l = 0; l < LANES; l++) {
                    const int64_t cell = c + l < count ? c + l : count - 1;
                    U[i * width + all + j][l] = right[(cell * all + a) * r + j];
                }
        }
        for (int i = 0; i < all; i++) {
            const int before = i < m ? i : m;
            for (int k = 0; k < before; k++)
                f[k] = U[k * width + i] * inverse[k];
            reduce(U + i * width, U, f, before, width, i, width);
            if (i >= m)
                continue;
            const lanes *row = U + i * width;
            for (int l = 0; l < LANES; l++) {
                double size = 0.0;
                for (int j = i; j < m; j++)
                    size = fmax(size, fabs(row[j][l]));
                if (!(fabs(row[i][l]) > 1e-14 * size))
                    bad = c;
            }
            inverse[i] = 1.0 / row[i];
        }
        for (int k = m - 1; k >= 0; k--) {
            const lanes *row = U + k * width;
            lanes *x = X + k * outer;
            for (int j = 0; j < outer; j++)
                x[j] = row[m + j];
            reduce(x, x + outer, row + k + 1, m - 1 - k, outer, 0, outer);
            for (int j = 0; j < outer; j++)
                x[j] *= inverse[k];
        }
        for (int l = 0; l < LANES && c + l < count; l++) {
            double *to = left + (c + l) * n * outer;
            for (int i = 0; i < n; i++) {
                const lanes *row = U + (m + i) * width + m;
                for (int j = i; j < n; j++)
                    to[i * outer + j] = to[j * outer + i] = row[j][l];
                for (int j = n; j < outer; j++)
                    to[i * outer + j] = row[j][l];
            }
            to = inner + (c + l) * m * outer;
            for (int i = 0; i < m * outer; i++)
                to[i] = X[i][l];
        }
    }
    free(U);
    return bad;
}

/* Tensors (c, n, e, n, e) in derivatives of the reference cell, e = 1 + d: times the inverse
   Jacobians (c, d, d), from the left, in the places of derivatives. */
void refer(int64_t count, int n, int e, const double *inverses, const double *tensors, double *out)
{
    const int d = e - 1, width = n * e;
    for (int64_t c = 0; c < count; c++, inverses += d * d) {
        for (int a = 0; a < n; a++) {
            const double *from = tensors + (c * n + a) * e * width;
            double *to = out + (c * n + a) * e * width;
            for (int k = 0; k < width; k++) {
                to[k] = from[k];
                for (int i = 0; i < d; i++) {
                    double sum = 0.0;
                    for (int j = 0; j < d; j++)
                        sum += inverses[i * d + j] * from[(1 + j) * width + k];
                    to[(1 + i) * width + k] = sum;
                }
            }
            for (double *own = to; own < to + e * width; own += e) {
                double found[3] = {0.0, 0.0, 0.0};
                for (int i = 0; i < d; i++)
                    for (int j = 0; j < d; j++)
                        found[i] += inverses[i * d + j] * own[1 + j];
                for (int i = 0; i < d; i++)
                    own[1 + i] = found[i];
            }
        }
    }
}

/* Blocks of element matrices, (c, m a, n b) in rows of `width` and matrices of `all` numbers: sums
   over p of factors (c, a, b, p) times tables (p, m, n). */
void combine(int64_t count, int a, int b, int pairs, int m, int n, int64_t width, int64_t all,
             const double *factors, const double *tables, double *out)
{
    for (int64_t c = 0; c < count; c += LANES) {
        const int here = count - c < LANES ? count - c : LANES;
        for (int x = 0; x < a; x++)
            for (int y = 0; y < b; y++) {
                lanes f[16] = {0};
                for (int p = 0; p < pairs; p++)
                    for (int l = 0; l < LANES; l++) {
                        const int64_t cell = c + (l < here ? l : 0);
                        f[p][l] = factors[((cell * a + x) * b + y) * pairs + p];
                    }
                for (int i = 0; i < m; i++) {
                    double *to = out + c * all + (i * a + x) * width + y;
                    for (int j = 0; j < n; j++) {
                        const double *table = tables + i * n + j;
                        lanes sum = f[0] * table[0];
                        for (int p = 1; p < pairs; p++)
                            sum += f[p] * table[p * m * n];
                        for (int l = 0; l < here; l++)
                            to[l * all + j * b] = sum[l];
                    }
                }
            }
    }
}

/* Rows and columns of a product that are added up at a time. */
#define TILE 4
#define TILED(n) (((n) + TILE - 1) / TILE * TILE)

/* Functions and their derivatives in x, tile by tile (tiles, e, q, TILE), from those in the
   reference cell, (e, q, n), and inverse Jacobians, (q, d, d), e = 1 + d. */
static void slopes(int d, int q, int n, const double *table, const lanes *inverse, lanes *out)
{
    for (int tile = 0; tile < n; tile += TILE)
        for (int i = 0; i <= d; i++)
            for (int p = 0; p < q; p++)
                for (int k = tile; k < tile + TILE; k++) {
                    const double *from = table + p * n + k;
                    lanes sum = {0};
                    if (k < n && !i)
                        sum += *from;
                    for (int j = 0; j < (k < n && i ? d : 0); j++)
                        sum += inverse[(p * d + j) * d + i - 1] * from[(1 + j) * q * n];
                    *out++ = sum;
                }
}

/* sum[k][l] += sum over p < q of left[p][k] right[p][l]. */
static void multiply(lanes sum[restrict TILE][TILE], const lanes *left, const lanes *right, int q)
{
    lanes own[TILE][TILE];
    memcpy(own, sum, sizeof own);
    for (int p = 0; p < q; p++, left += TILE, right += TILE)
        for (int k = 0; k < TILE; k++)
            for (int l = 0; l < TILE; l++)
                own[k][l] += left[k] * right[l];
    memcpy(sum, own, sizeof own);
}

/* Blocks of element matrices, (c, m a, n b) in rows of `width` and squares of that: sums over q points and t
   terms (x, i, y, j) of factors (c, q, t) times D_i f_m of component x times D_j g_n of component y,
   with tables (e, q, m) and (e, q, n) in the reference cell and inverse Jacobians (c, q, d, d). If
   these blocks are `symmetric` (f is g then) half of them is computed. Returns 0 for want of
   memory. */
int integrate(int64_t count, int d, int q, int t, int symmetric, int a, int m, int b, int n,
              int64_t width, const int32_t *terms, const double *factors, const double *inverses,
              const double *f, const double *g, double *out)
{
    const int e = 1 + d, r = TILED(m), s = TILED(n);
    const int64_t all = width * width;
    lanes *F = aligned_alloc(sizeof(lanes), sizeof(lanes) * q * (e * (r + 2 * s) + d * d + t));
    if (!F)
        return 0;
    lanes *G = symmetric ? F : F + e * q * r, *H = F + e * q * (r + s);
    lanes *inverse = H + e * q * s, *factor = inverse + q * d * d;
    for (int64_t c = 0; c < count; c += LANES) {
        const int here = count - c < LANES ? count - c : LANES;
        for (int l = 0; l < LANES; l++) {
            const int64_t cell = c + (l < here ? l : 0);
            for (int k = 0; k < q * d * d; k++)
                inverse[k][l] = inverses[cell * q * d * d + k];
            for (int k = 0; k < q * t; k++)
                factor[k][l] = factors[cell * q * t + k];
        }
        slopes(d, q, m, f, inverse, F);
        if (!symmetric)
            slopes(d, q, n, g, inverse, G);
        for (int x = 0; x < a; x++)
            for (int y = symmetric ? x : 0; y < b; y++) {
                int used[4] = {0};
                for (int k = 0; k < t; k++) {
                    const int32_t *own = terms + 4 * k, i = own[1];
                    if (own[0] != x || own[2] != y)
                        continue;
                    for (int v = 0; v < s; v += TILE) {
                        const lanes *from = G + v * e * q + own[3] * q * TILE;
                        lanes *to = H + v * e * q + i * q * TILE;
                        for (int p = 0; p < q; p++)
                            for (int l = 0; l < TILE; l++, to++, from++)
                                *to = (used[i] ? *to : (lanes){0}) + factor[p * t + k] * *from;
                    }
                    used[i] = 1;
                }
                for (int u = 0; u < m; u += TILE)
                    for (int v = symmetric && x == y ? u : 0; v < n; v += TILE) {
                        lanes sum[TILE][TILE] = {0};
                        const lanes *left = F + u * e * q, *right = H + v * e * q;
                        for (int i = 0; i < e; i++, left += q * TILE, right += q * TILE)
                            if (used[i])
                                multiply(sum, left, right, q);
                        for (int k = u; k < u + TILE && k < m; k++)
                            for (int l = v; l < v + TILE && l < n; l++) {
                                const int64_t i = k * a + x, j = l * b + y;
                                double *to = out + c * all + i * width + j;
                                double *turned = out + c * all + j * width + i;
                                for (int h = 0; h < here; h++) {
                                    to[h * all] = sum[k - u][l - v][h];
                                    if (symmetric)
                                        turned[h * all] = sum[k - u][l - v][h];
                                }
                            }
                    }
            }
    }
    free(F);
    return 1;
}

/* Where in the sorted `columns`, from `at` to `end`, the column b is. */
static int64_t find(const int32_t *columns, int64_t at, int64_t end, int32_t b)
{
    if (columns[at] == b)
        return at;
    while (end - at > 1) {
        const int64_t middle = at + (end - at) / 2;
        if (columns[middle] <= b)
            at = middle;
        else
            end = middle;
    }
    return at;
}

/* Adds matrices of cells, the first n columns of (c, n, width), to the upper triangle of a sparse
   matrix, and with f f^T / weight, f (c, n), weight (c,), to that of another of the same pattern.
   Rows (c, n) of one of the `count` entities of a cell follow each other, in the matrix too. */
void scatter(int64_t cells, int n, int width, int count, const int32_t *entity, const int32_t *rows,
             const int64_t *indptr, const int32_t *indices, const double *matrices, const double *f,
             const double *weight, double *plain, double *penalised)
{
    int64_t block[count][count];
    int32_t first[count];
    for (int64_t c = 0; c < cells; c++) {
        const int32_t *at = rows + c * n;
        const double *own = matrices + c * n * width, *g = f + c * n;
        for (int e = 0; e < count; e++)
            first[e] = -1;
        for (int i = 0; i < n; i++)
            if (at[i] >= 0 && (first[entity[i]] < 0 || at[i] < first[entity[i]]))
                first[entity[i]] = at[i];
        /* From the diagonal of the first row of an entity to the first column of another. */
        for (int d = 0; d < count; d++)
            for (int e = 0; e < count; e++)
                if (first[d] >= 0 && first[d] <= first[e]) {
                    const int64_t from = indptr[first[d]], end = indptr[first[d] + 1];
                    block[d][e] = find(indices, from, end, first[e]) - from;
                }
        for (int i = 0; i < n; i++) {
            const int32_t a = at[i];
            if (a < 0)
                continue;
            const double scaled = g[i] / weight[c];
            for (int j = i; j < n; j++) {
                const int32_t b = at[j];
                if (b < 0)
                    continue;
                const int turned = a > b, d = entity[turned ? j : i], e = entity[turned ? i : j];
                const int32_t low = turned ? b : a, high = turned ? a : b;
                /* Nodes of a cell may be twins: both sides of the diagonal. */
                const double times = a == b && i != j ? 2.0 : 1.0;
                const int64_t slot =
                    indptr[low] - (low - first[d]) + block[d][e] + high - first[e];
                plain[slot] += times * own[i * width + j];
                penalised[slot] += times * (own[i * width + j] + scaled * g[j]);
            }
        }
    }
}

/* Adds c c^T / weight to the upper triangle of a sparse matrix, for the rows c, from `begin` to
   `end`, of another, whose columns are sorted. */
void penalise(int64_t begin, int64_t end, const int64_t *starts, const int32_t *columns,
              const double *entries, const double *weight, const int64_t *indptr,
              const int32_t *indices, double *values)
{
    for (int64_t k = begin; k < end; k++)
        for (int64_t i = starts[k]; i < starts[k + 1]; i++) {
            const int32_t a = columns[i];
            int64_t slot = indptr[a];
            for (int64_t j = i; j < starts[k + 1]; j++) {
                slot = find(indices, slot, indptr[a + 1], columns[j]);
                values[slot] += entries[i] * entries[j] / weight[k];
                slot += slot + 1 < indptr[a + 1];
            }
        }
}
