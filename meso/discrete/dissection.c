/* Halves of a 2D mesh that are halved again: see dissection.py. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

/* Cells that are not divided any more; difference of the principal moments over their sum below
   which a part is as long as it is wide; rounds in which cells go where most of their neighbours
   are, so that cuts are short. */
#define LEAF 2
#define ROUND 0.1
#define ROUNDS 2

struct value {
    double at;
    int32_t cell;
};

struct mesh {
    const double *centres;
    const int32_t *near;
    int depth;
    int64_t *path;
    int32_t *part, parts;
    int8_t *side;
    struct value *values;
};

/* The smallest k of n values come first. */
static void split(struct value *v, int n, int k)
{
    int low = 0, high = n - 1;
    while (low < high) {
        const double pivot = v[low + (high - low) / 2].at;
        int i = low, j = high;
        while (i <= j) {
            while (v[i].at < pivot)
                i++;
            while (v[j].at > pivot)
                j--;
            if (i <= j) {
                const struct value other = v[i];
                v[i++] = v[j], v[j--] = other;
            }
        }
        if (k <= j)
            high = j;
        else if (k >= i)
            low = i;
        else
            return;
    }
}

static void divide(struct mesh *m, int32_t *cells, int n, int level, int64_t prefix)
{
    if (n <= LEAF || level == m->depth) {
        for (int i = 0; i < n; i++)
            m->path[cells[i]] = prefix << (m->depth - level);
        return;
    }
    double x = 0.0, y = 0.0, xx = 0.0, yy = 0.0, xy = 0.0;
    for (int i = 0; i < n; i++)
        x += m->centres[2 * cells[i]] / n, y += m->centres[2 * cells[i] + 1] / n;
    m->parts++;
    for (int i = 0; i < n; i++) {
        const double a = m->centres[2 * cells[i]] - x, b = m->centres[2 * cells[i] + 1] - y;
        xx += a * a, yy += b * b, xy += a * b;
        m->part[cells[i]] = m->parts;
    }
    const int skewed = hypot(2 * xy, xx - yy) > ROUND * (xx + yy);
    const double along = skewed ? atan2(2 * xy, xx - yy) / 2 : 0.0;
    for (int i = 0; i < n; i++) {
        const double *at = m->centres + 2 * cells[i];
        m->values[i] = (struct value){cos(along) * at[0] + sin(along) * at[1], cells[i]};
    }
    split(m->values, n, n / 2);
    for (int i = 0; i < n; i++)
        m->side[m->values[i].cell] = i >= n / 2;
    for (int side = 0; side < 2 * ROUNDS; side++)
        for (int i = 0; i < n; i++) {
            int inside = 0, across = 0;
            for (int e = 0; e < 3; e++) {
                const int32_t other = m->near[3 * cells[i] + e];
                if (other >= 0 && m->part[other] == m->parts)
                    inside++, across += m->side[other] != m->side[cells[i]];
            }
            if (m->side[cells[i]] == side % 2 && 2 * across > inside)
                m->side[cells[i]] ^= 1;
        }
    int low = 0, high = n;
    int32_t *sorted = (int32_t *)m->values;
    for (int i = 0; i < n; i++)
        sorted[m->side[cells[i]] ? --high : low++] = cells[i];
    for (int i = 0; i < n; i++)
        cells[i] = sorted[i];
    if (low == 0 || low == n)
        low = n / 2;
    divide(m, cells, low, level + 1, 2 * prefix);
    divide(m, cells + low, n - low, level + 1, 2 * prefix + 1);
}

/* The part of each cell after `depth` divisions at most, a bit for each. Centres are (n, 2),
   neighbours (n, 3), -1 for none. Returns whether there was memory for it. */
int halve(int32_t n, const double *centres, const int32_t *near, int depth, int64_t *path)
{
    int32_t *numbers = calloc(2 * (size_t)n + 1, sizeof(int32_t));
    int8_t *side = malloc((size_t)n + 1);
    struct value *values = malloc(sizeof(struct value) * ((size_t)n + 1));
    const int there = numbers && side && values;
    if (there) {
        struct mesh m = {centres, near, depth, path, numbers + n, 0, side, values};
        for (int32_t i = 0; i < n; i++)
            numbers[i] = i;
        divide(&m, numbers, n, 0, 0);
    }
    free(numbers), free(side), free(values);
    return there;
}
