/* Loops over cells for which NumPy has no product: see loops.py. All arrays are contiguous. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

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

/* Adds matrices of cells, the first n columns of (c, n, width), to the upper triangle of a sparse
   matrix, and with f f^T / weight, f (c, n), weight (c,), to that of another of the same pattern.
   The entry in row a and column b >= a has the place row[a] + start + b, with the start of the
   block of the two entities: of each pair of entities of a cell, (c, p), and `pair` (n, n) tells
   which one. */
void scatter(int64_t count, int n, int width, int p, const int32_t *rows, const int64_t *start,
             const int32_t *pair, const int64_t *row, const double *matrices, const double *f,
             const double *weight, double *plain, double *penalised)
{
    for (int64_t c = 0; c < count; c++) {
        const int32_t *at = rows + c * n;
        const double *own = matrices + c * n * width, *g = f + c * n;
        const int64_t *first = start + c * p;
        for (int i = 0; i < n; i++) {
            const int32_t a = at[i];
            if (a < 0)
                continue;
            const double scaled = g[i] / weight[c];
            for (int j = i; j < n; j++) {
                const int32_t b = at[j];
                if (b < 0)
                    continue;
                const int32_t low = a < b ? a : b, high = a < b ? b : a;
                /* Nodes of a cell may be twins: both sides of the diagonal. */
                const double times = a == b && i != j ? 2.0 : 1.0;
                const int64_t slot = row[low] + first[pair[i * n + j]] + high;
                plain[slot] += times * own[i * width + j];
                penalised[slot] += times * (own[i * width + j] + scaled * g[j]);
            }
        }
    }
}
