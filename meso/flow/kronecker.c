/* Sparse matrices of one pattern times small dense ones, applied to many moments: see kronecker.py. */
#include <stdint.h>
#include <string.h>

/* Moments, or rows, in one vector; vectors and matrices that are taken at a time. */
#define WIDTH 8
#define VECTORS 2
#define MATRICES 4
typedef double vector __attribute__((vector_size(8 * WIDTH), aligned(8)));

/* Rows of some matrices times moments node by node, (n, stride): sums, (matrices, vectors). */
static inline __attribute__((always_inline)) void
gather(const int matrices, const int vectors, int32_t begin, int32_t end, const int32_t *index,
       int count, const double *value, const double *x, int stride, vector *out)
{
    vector sum[MATRICES][VECTORS];
    memset(sum, 0, sizeof(sum));
    for (int32_t k = begin; k < end; k++) {
        const vector *from = (const vector *)(x + (int64_t)index[k] * stride);
        for (int v = 0; v < vectors; v++) {
            const vector own = from[v];
            for (int m = 0; m < matrices; m++)
                sum[m][v] += value[(int64_t)k * count + m] * own;
        }
    }
    for (int m = 0; m < matrices; m++)
        for (int v = 0; v < vectors; v++)
            out[m * VECTORS + v] = sum[m][v];
}

/* y[target] += sign sum over terms (t, m, s) of factor A_m x[source s], for x and y of shape
   (moments, n), with `count` matrices whose values are (entries, count). `work` has room for
   n stride + WIDTH count stride doubles; stride is the number of sources up to a multiple of
   WIDTH. */
void multiply(int32_t n, const int32_t *pointer, const int32_t *index, int count,
              const double *value, int sources, const int64_t *source, int targets,
              const int64_t *target, int terms, const int32_t *term, const double *factor,
              double sign, const double *x, double *y, double *work)
{
    const int stride = (sources + WIDTH - 1) / WIDTH * WIDTH;
    vector *turned = (vector *)(work + (int64_t)n * stride);
    if (stride > sources)
        for (int64_t i = 0; i < n; i++)
            for (int s = sources; s < stride; s++)
                work[i * stride + s] = 0.0;
    for (int32_t i = 0; i < n; i += 4 * WIDTH)
        for (int s = 0; s < sources; s++) {
            const double *from = x + source[s] * n;
            for (int32_t j = i; j < n && j < i + 4 * WIDTH; j++)
                work[(int64_t)j * stride + s] = from[j];
        }
    for (int32_t first = 0; first < n; first += WIDTH) {
        const int here = n - first < WIDTH ? n - first : WIDTH;
        if (pointer[first] == pointer[first + here])
            continue;
        for (int s = 0; s < stride; s += VECTORS * WIDTH)
            for (int m = 0; m < count; m += MATRICES) {
                const int both = stride - s > WIDTH, most = count - m < MATRICES ? count - m : MATRICES;
                for (int r = 0; r < here; r++) {
                    vector sum[MATRICES * VECTORS];
#define GATHER(matrices, vectors)                                                                  \
    gather(matrices, vectors, pointer[first + r], pointer[first + r + 1], index, count, value + m, \
           work + s, stride, sum)
                    switch (2 * most + both) {
                    case 2: GATHER(1, 1); break;
                    case 3: GATHER(1, 2); break;
                    case 4: GATHER(2, 1); break;
                    case 5: GATHER(2, 2); break;
                    case 6: GATHER(3, 1); break;
                    case 7: GATHER(3, 2); break;
                    case 8: GATHER(4, 1); break;
                    default: GATHER(4, 2);
                    }
                    for (int a = 0; a < most; a++)
                        for (int j = 0; j < (1 + both) * WIDTH; j++)
                            turned[(m + a) * stride + s + j][r] =
                                sum[a * VECTORS + j / WIDTH][j % WIDTH];
                }
            }
        for (int k = 0; k < terms;) {
            const int t = term[3 * k];
            vector sum = {0};
            for (; k < terms && term[3 * k] == t; k++)
                sum += factor[k] * turned[term[3 * k + 1] * stride + term[3 * k + 2]];
            double *to = y + target[t] * n + first;
            for (int r = 0; r < here; r++)
                to[r] += sign * sum[r];
        }
    }
}
