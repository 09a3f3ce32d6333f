/* Paths of particles through triangles with curved edges: see tracing.py. Arrays are contiguous,
   lengths over the size of the device. */
#include <math.h>
#include <stdint.h>

#define PI 3.14159265358979323846
/* Highest degree of an edge, and of the squared distance to a point of it. */
#define DEGREE 10
#define POWER (2 * DEGREE)
/* Crossings that lie behind by so little are ahead: rounding of the place on an edge. */
#define BEHIND 1e-10
/* Steps without progress after which a particle is moved off a corner. */
#define STUCK 64

typedef struct {
    uint64_t s[4];
} stream;

static uint64_t mixed(uint64_t x) /* SplitMix64 */
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* The stream of a particle is its own, whoever traces it. */
static void begin(stream *of, uint64_t key, uint64_t particle)
{
    uint64_t x = mixed(key) + mixed(particle * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u);
    for (int i = 0; i < 4; i++)
        of->s[i] = mixed(x += 0x9e3779b97f4a7c15u);
}

static inline uint64_t turned(uint64_t x, int by) { return x << by | x >> (64 - by); }

/* Uniform in 0 < u < 1: xoshiro256++ of D. Blackman and S. Vigna. */
static inline double uniform(stream *of)
{
    uint64_t *s = of->s, out = turned(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0], s[3] ^= s[1], s[1] ^= s[2], s[0] ^= s[3], s[2] ^= t, s[3] = turned(s[3], 45);
    return ((double)(out >> 12) + 0.5) * 0x1p-52;
}

typedef struct {
    double x, y, dx, dy;
} place;

/* Where a path of curvature k is after a length. */
static inline place moved(place at, double k, double length)
{
    if (k == 0) {
        at.x += length * at.dx, at.y += length * at.dy;
        return at;
    }
    const double angle = k * length, s = sin(angle), h = sin(angle / 2), c = 2 * h * h;
    place to = {at.x + (s * at.dx - c * at.dy) / k, at.y + (s * at.dy + c * at.dx) / k,
                at.dx - c * at.dx - s * at.dy, at.dy - c * at.dy + s * at.dx};
    const double norm = 1.5 - 0.5 * (to.dx * to.dx + to.dy * to.dy);
    to.dx *= norm, to.dy *= norm;
    return to;
}

/* Length of the path to a point that lies on it, at (x, y) from its beginning. */
static inline double length_to(place at, double k, double x, double y)
{
    const double along = at.dx * x + at.dy * y;
    if (k == 0)
        return along;
    double angle = atan2(k * along, 1 - k * (at.dx * y - at.dy * x)) / k;
    return angle < -BEHIND ? angle + 2 * PI / fabs(k) : angle;
}

typedef struct {
    double length, s; /* s: place on the edge, from 0 to 1 */
    int edge;
} way;

static double binomial[POWER + 1][POWER + 1];
/* Of products of Bernstein polynomials of degree d: i, j to i + j. */
static double product[DEGREE + 1][DEGREE + 1][DEGREE + 1];

void prepare(void)
{
    for (int n = 0; n <= POWER; n++)
        for (int i = 0; i <= n; i++)
            binomial[n][i] = i == 0 || i == n ? 1 : binomial[n - 1][i - 1] + binomial[n - 1][i];
    for (int d = 1; d <= DEGREE; d++)
        for (int i = 0; i <= d; i++)
            for (int j = 0; j <= d; j++)
                product[d][i][j] = binomial[d][i] * binomial[d][j] / binomial[2 * d][i + j];
}

static double bernstein(const double *c, int n, double s)
{
    double value[POWER + 1];
    for (int i = 0; i <= n; i++)
        value[i] = c[i];
    for (int k = n; k > 0; k--)
        for (int i = 0; i < k; i++)
            value[i] += s * (value[i + 1] - value[i]);
    return value[0];
}

/* Places of 0 < s < 1 where a Bernstein polynomial goes from negative to positive, in order. */
static int rises(const double *c, int n, double from, double to, int depth, double *out)
{
    int up = 0, down = 0;
    for (int i = 0; i < n; i++) {
        up += c[i] < 0 && c[i + 1] >= 0;
        down += c[i] >= 0 && c[i + 1] < 0;
    }
    if (!up)
        return 0;
    if (up == 1 && !down) { /* one change of sign, one root: Illinois' regula falsi */
        double a = 0, b = 1, fa = c[0], fb = c[n], s = 0;
        for (int i = 0, side = 0; i < 100; i++) {
            s = (a * fb - b * fa) / (fb - fa);
            const double f = bernstein(c, n, s);
            if (f < 0)
                a = s, fa = f, fb = side < 0 ? fb / 2 : fb, side = -1;
            else
                b = s, fb = f, fa = side > 0 ? fa / 2 : fa, side = 1;
            if (fabs(f) < 1e-17 || b - a < 1e-15)
                break;
        }
        out[0] = from + s * (to - from);
        return 1;
    }
    if (depth == 0)
        return 0;
    double left[POWER + 1], right[POWER + 1];
    for (int i = 0; i <= n; i++)
        right[i] = c[i];
    for (int k = n; k >= 0; k--) {
        left[n - k] = right[0];
        for (int i = 0; i < k; i++)
            right[i] = (right[i] + right[i + 1]) / 2;
    }
    const double middle = (from + to) / 2;
    const int found = rises(left, n, from, middle, depth - 1, out);
    return found + rises(right, n, middle, to, depth - 1, out + found);
}

static void curve(const double *control, int d, double s, double *x, double *slope)
{
    double p[DEGREE + 1][2];
    for (int i = 0; i <= d; i++)
        p[i][0] = control[2 * i], p[i][1] = control[2 * i + 1];
    for (int k = d; k > 0; k--) {
        if (k == 1)
            slope[0] = p[1][0] - p[0][0], slope[1] = p[1][1] - p[0][1];
        for (int i = 0; i < k; i++)
            for (int j = 0; j < 2; j++)
                p[i][j] += s * (p[i + 1][j] - p[i][j]);
    }
    x[0] = p[0][0], x[1] = p[0][1];
}

/* Where a path first goes out through a polynomial edge, if it is nearer than what is known. */
static void leave_curve(place at, double k, const double *control, int d, int edge, way *best)
{
    double q[DEGREE + 1][2], c[POWER + 1], s[POWER + 1], x[2], slope[2];
    for (int i = 0; i <= d; i++)
        q[i][0] = control[2 * i] - at.x, q[i][1] = control[2 * i + 1] - at.y;
    const int n = k == 0 ? d : 2 * d;
    for (int i = 0; i <= n; i++)
        c[i] = 0;
    for (int i = 0; i <= d; i++) {
        const double across = at.dx * q[i][1] - at.dy * q[i][0];
        if (k == 0)
            c[i] = across;
        else
            for (int j = 0; j <= d; j++)
                c[i + j] += product[d][i][j] *
                            (across - k / 2 * (q[i][0] * q[j][0] + q[i][1] * q[j][1]));
    }
    const int found = rises(c, n, 0, 1, 60, s);
    for (int i = 0; i < found; i++) {
        curve(control, d, s[i], x, slope);
        const double length = length_to(at, k, x[0] - at.x, x[1] - at.y);
        if (length > -BEHIND && length < best->length)
            *best = (way){length, s[i], edge};
    }
}

/* The same of an arc and the straight edge from (x, y), along (ex, ey). */
static void leave_line(place at, double k, double x, double y, double ex, double ey, int edge,
                       way *best)
{
    x -= at.x, y -= at.y;
    const double a = -k / 2 * (ex * ex + ey * ey);
    const double b = at.dx * ey - at.dy * ex - k * (x * ex + y * ey);
    const double c = at.dx * y - at.dy * x - k / 2 * (x * x + y * y);
    const double square = b * b - 4 * a * c;
    if (square < 0)
        return;
    const double root = sqrt(square), s = b > 0 ? -2 * c / (b + root) : (root - b) / (2 * a);
    if (s < -1e-12 || s > 1 + 1e-12)
        return;
    const double length = length_to(at, k, x + s * ex, y + s * ey);
    if (length > -BEHIND && length < best->length)
        *best = (way){length, s, edge};
}

/* Where a path leaves a cell; `entered` is the edge that it came in by, or -1. */
static inline way leave(place at, double k, int entered, const double *v, const double *control,
                        int d)
{
    way best = {1e300, 0, -1};
    if (control) {
        for (int e = 0; e < 3; e++)
            leave_curve(at, k, control + 2 * e * (d + 1), d, e, &best);
    } else if (k != 0) {
        for (int e = 0; e < 3; e++) {
            const double *p = v + 2 * ((e + 1) % 3), *q = v + 2 * ((e + 2) % 3);
            leave_line(at, k, p[0], p[1], q[0] - p[0], q[1] - p[1], e, &best);
        }
    } else if (entered >= 0) { /* on which side of the opposite vertex */
        const double *c = v + 2 * entered;
        const int left = at.dx * (c[1] - at.y) - at.dy * (c[0] - at.x) >= 0;
        best.edge = (entered + (left ? 1 : 2)) % 3;
        const double *p = v + 2 * ((best.edge + 1) % 3), *q = v + 2 * ((best.edge + 2) % 3);
        const double ex = q[0] - p[0], ey = q[1] - p[1], rate = at.dx * ey - at.dy * ex;
        const double length = ((p[0] - at.x) * ey - (p[1] - at.y) * ex) / (rate > 0 ? rate : 1e-300);
        best.length = length > 0 ? (length < 8 ? length : 0) : 0;
    } else {
        for (int e = 0; e < 3; e++) {
            const double *p = v + 2 * ((e + 1) % 3), *q = v + 2 * ((e + 2) % 3);
            const double ex = q[0] - p[0], ey = q[1] - p[1], rate = at.dx * ey - at.dy * ex;
            if (rate > 0) {
                const double length = ((p[0] - at.x) * ey - (p[1] - at.y) * ex) / rate;
                if (length < best.length)
                    best = (way){length > 0 ? length : 0, 0, e};
            }
        }
    }
    return best;
}

/* A direction after a collision, and the speed in the plane: the angle that it turns by has the
   density sum over m of series[m] cos(m angle), at most `most`, by rejection. */
static double scatter(stream *of, place *at, double speed, int sphere, const double *series,
                      int terms, double most)
{
    double angle, density, up = 0, faster = 1;
    const double height = sphere && terms > 1 ? sqrt(1 - speed * speed) : 0;
    do {
        angle = 2 * PI * uniform(of);
        if (sphere)
            up = 2 * uniform(of) - 1, faster = sqrt(1 - up * up);
        if (terms == 1)
            break; /* in all directions alike */
        density = series[0];
        double by = angle;
        if (sphere)
            by = acos(fmin(fmax(speed * faster * cos(angle) + height * up, -1), 1));
        for (int m = 1; m < terms; m++)
            if (series[m] != 0)
                density += series[m] * cos(m * by);
    } while (most * uniform(of) > density);
    const double c = cos(angle), s = sin(angle), dx = at->dx;
    at->dx = c * dx - s * at->dy, at->dy = s * dx + c * at->dy;
    const double norm = 1.5 - 0.5 * (at->dx * at->dx + at->dy * at->dy);
    at->dx *= norm, at->dy *= norm;
    return faster;
}

/* A polygon of a Fermi line at a phase: velocity (2) of the side, and wave vector (2). */
static void look(const double *line, int phases, double phase, double *row)
{
    const int i = phase < phases ? (int)phase : phases - 1;
    row[0] = line[4 * i], row[1] = line[4 * i + 1];
    for (int j = 2; j < 4; j++)
        row[j] = line[4 * i + j] + (phase - i) * (line[4 * i + 4 + j] - line[4 * i + j]);
}

/* How much phase is left on this side of the polygon, going up or down. */
static double side_left(double phase, int up)
{
    const double side = floor(phase);
    return up ? side + 1 - phase : phase - side;
}

/* The phase at which the next side of the polygon begins. */
static double next_side(double phase, int phases, int up)
{
    const double side = floor(phase);
    if (up)
        return side + 1 < phases ? side + 1 : 0;
    return nextafter(side > 0 ? side : phases, 0);
}

/* Turns a particle to the direction of its phase; returns its speed. */
static double directed(const double *line, int phases, double phase, place *at)
{
    double row[4];
    look(line, phases, phase, row);
    const double speed = sqrt(row[0] * row[0] + row[1] * row[1]);
    at->dx = row[0] / speed, at->dy = row[1] / speed;
    return speed;
}

/* A phase that a wall with the unit tangent (tx, ty), the conductor on its left, emits: as v.n. */
static double emitted(stream *of, const double *line, int phases, double tx, double ty)
{
    double row[4], phase;
    do {
        phase = phases * uniform(of);
        look(line, phases, phase, row);
    } while (line[4 * phases + 4] * uniform(of) > row[1] * tx - row[0] * ty);
    return phase;
}

/* The phase at the other end of the chord through the Fermi sea along the normal of a wall. */
static double mirrored(const double *line, int phases, double phase, double tx, double ty)
{
    double row[4], best = 1e300, out = -1, before;
    look(line, phases, phase, row);
    const double along = row[2] * tx + row[3] * ty, own = row[3] * tx - row[2] * ty;
    const int stride = 8;
    before = line[2] * tx + line[3] * ty - along;
    for (int i = 0; i < phases; i += stride) {
        const int end = i + stride < phases ? i + stride : phases;
        const double after = line[4 * end + 2] * tx + line[4 * end + 3] * ty - along;
        if ((before < 0) != (after < 0)) {
            double low = before, high;
            for (int j = i; j < end; j++, low = high) {
                high = line[4 * j + 6] * tx + line[4 * j + 7] * ty - along;
                if ((low < 0) == (high < 0))
                    continue;
                const double there = j + low / (low - high);
                look(line, phases, there, row);
                const double height = row[3] * tx - row[2] * ty;
                if (row[1] * tx - row[0] * ty > 0 && height > own && height < best)
                    best = height, out = there;
            }
        }
        before = after;
    }
    for (int i = 1; out < 0; i++) /* along the wall, to rounding: the nearest that leaves it */
        for (int sign = -1; sign < 2 && out < 0; sign += 2) {
            const double there = fmod(phase + sign * i + phases * (double)i, phases);
            look(line, phases, there, row);
            if (row[1] * tx - row[0] * ty > 0)
                out = there;
        }
    return out;
}

/* Traces particles until a contact absorbs them, or to the end of a length.

   Of each cell: vertices (6), the cell and edge behind each edge as 3 cell + edge or -1 - facet (3),
   its curved edges or -1 (1), rate of collisions (1), curvature of paths (1), the kernel of its
   collisions (1), the potential that weights are counted from (pairs). Edge e lies opposite to
   vertex e, all go counter-clockwise; control points of curved edges (3, degree + 1, 2).
   Of each facet: kind (0 contact, 1 wall, 2 periodic), specularity of a wall, and of a periodic one
   its twin as 3 cell + edge, the way there (2), its pair and the sign that counts.
   Of a Fermi line that is no circle, unless it is null: a polygon, with the velocity of a side and
   the wave vector where it begins (4) at phases + 1 phases, the last of which is the first, then
   the highest speed. Curvatures are angles of phase per time then. On a Fermi sphere, seen along
   z, the phases of particles are speeds in the plane.
   Of each particle: place and direction (4), phase on the line (1), cell and edge it comes from or
   -1 (2), weights (pairs), all of which change; the products of weights and crossings (pairs, pairs) are added to.
   In `tally` (cells, 1 + pairs, 3), unless it is null, go the time that the path takes and the way
   along x and y, times 1 and times the weights, in units of 1/unit: sums of integers do not depend
   on their order. Counts steps, and particles that had to be helped off a corner, in `counts`.
   Returns 0, or -1 if a particle needed more than `most` steps. */
int trace(int64_t particles, int64_t key, int64_t first, double length, int64_t most,
          const double *vertices, const int32_t *behind, const int32_t *bent, const double *rates,
          const double *curvatures, const int32_t *kernels, const double *offsets,
          const double *controls, int degree, const double *series, int terms,
          const double *highest, const int32_t *kinds, const double *specularity,
          const int32_t *twins, const double *shifts, const int32_t *pair, const int32_t *signs,
          int pairs, const double *line, int phases, int sphere, double *places, double *phase,
          int32_t *where, double *weights, double *products, int64_t *tally, double unit,
          int64_t *counts)
{
    const int64_t size = 3 * (1 + pairs);
    for (int64_t i = 0; i < particles; i++) {
        stream of;
        begin(&of, (uint64_t)key, (uint64_t)(first + i));
        place at = {places[4 * i], places[4 * i + 1], places[4 * i + 2], places[4 * i + 3]};
        int32_t cell = where[2 * i], entered = where[2 * i + 1];
        double *w = weights + pairs * i, depth = -log(uniform(&of)), left = length;
        int stuck = 0;
        double speed = line ? directed(line, phases, phase[i], &at) : sphere ? phase[i] : 1;
        if (sphere) {
            const double norm = 1 / sqrt(at.dx * at.dx + at.dy * at.dy);
            at.dx *= norm, at.dy *= norm;
        }
        for (int64_t step = 0;; step++) {
            if (step > most)
                return -1;
            const double rate = rates[cell], *v = vertices + 6 * cell;
            const double turn = line ? curvatures[cell] * phases / (2 * PI) : 0;
            const double k = line ? 0 : curvatures[cell] / speed;
            const double *control = bent[cell] < 0 ? 0 : controls + 6 * (degree + 1) * bent[cell];
            const double free = depth * speed / rate, reach = left * speed;
            const double until =
                turn == 0 ? 1e300 : side_left(phase[i], turn > 0) / fabs(turn) * speed;
            const int turns = until < free && until < reach;
            const double go = turns ? until : free < reach ? free : reach;
            way out = leave(at, k, entered, v, control, degree);
            counts[0]++;
            const int stays = go < out.length;
            if (out.edge < 0 && k == 0) {
                stuck = STUCK; /* flat along a curved edge, to rounding: off it, and on */
            } else {
                const double path = stays ? go : out.length > 0 ? out.length : 0;
                place to = moved(at, k, path);
                double slope[2];
                if (!stays) {
                    if (control) {
                        double x[2];
                        curve(control + 2 * out.edge * (degree + 1), degree, out.s, x, slope);
                        to.x = x[0], to.y = x[1];
                    } else {
                        const double *p = v + 2 * ((out.edge + 1) % 3);
                        const double *q = v + 2 * ((out.edge + 2) % 3);
                        slope[0] = q[0] - p[0], slope[1] = q[1] - p[1];
                    }
                }
                if (tally) {
                    int64_t *own = tally + size * cell;
                    const double part[3] = {path / speed * unit, (to.x - at.x) * unit,
                                            (to.y - at.y) * unit};
                    for (int j = 0; j < 3; j++)
                        own[j] += llrint(part[j]);
                    for (int m = 0; m < pairs; m++)
                        for (int j = 0; j < 3; j++)
                            own[3 * (m + 1) + j] +=
                                llrint((w[m] - offsets[pairs * cell + m]) * part[j]);
                }
                stuck = path < 1e-13 ? stuck + 1 : 0;
                at = to, left = path == reach ? 0 : left - path / speed;
                depth -= path * rate / speed;
                if (turn != 0 && !(stays && turns)) { /* on this side, in spite of rounding */
                    const double side = floor(phase[i]), end = nextafter(side + 1, 0);
                    phase[i] = fmin(fmax(phase[i] + turn * path / speed, side), end);
                }
                if (stays) {
                    entered = -1;
                    if (left <= 0) {
                        where[2 * i] = cell, where[2 * i + 1] = -1;
                        break;
                    }
                    if (turns) {
                        phase[i] = next_side(phase[i], phases, turn > 0);
                        speed = directed(line, phases, phase[i], &at);
                        continue;
                    }
                    const int32_t kernel = kernels[cell];
                    if (line) {
                        phase[i] = phases * uniform(&of);
                        speed = directed(line, phases, phase[i], &at);
                    } else {
                        speed = scatter(&of, &at, speed, sphere, series + terms * kernel, terms,
                                        highest[kernel]);
                    }
                    depth = -log(uniform(&of));
                    continue;
                }
                const int32_t next = behind[3 * cell + out.edge];
                if (next >= 0) {
                    cell = next / 3, entered = next % 3;
                } else {
                    const int32_t facet = -1 - next;
                    entered = out.edge;
                    if (kinds[facet] == 0) {
                        where[2 * i] = -1 - facet, where[2 * i + 1] = out.edge;
                        break;
                    }
                    if (kinds[facet] == 1) {
                        const double norm = 1 / sqrt(slope[0] * slope[0] + slope[1] * slope[1]);
                        const double tx = slope[0] * norm, ty = slope[1] * norm; /* inwards -ty, tx */
                        double along = at.dx * tx + at.dy * ty, inwards;
                        const double p = specularity[facet];
                        const int smooth = p >= 1 || (p > 0 && uniform(&of) < p);
                        if (line) {
                            phase[i] = smooth ? mirrored(line, phases, phase[i], tx, ty)
                                              : emitted(&of, line, phases, tx, ty);
                            speed = directed(line, phases, phase[i], &at);
                            continue;
                        }
                        if (smooth) {
                            inwards = fabs(at.dy * tx - at.dx * ty);
                        } else if (sphere) {
                            const double square = uniform(&of);
                            along = sqrt(square) * cos(2 * PI * uniform(&of));
                            inwards = sqrt(1 - square);
                            speed = sqrt(along * along + inwards * inwards);
                            along /= speed, inwards /= speed;
                        } else {
                            along = 2 * uniform(&of) - 1;
                            inwards = sqrt(1 - along * along);
                        }
                        const double unity = 1.5 - 0.5 * (along * along + inwards * inwards);
                        along *= unity, inwards *= unity;
                        at.dx = along * tx - inwards * ty, at.dy = along * ty + inwards * tx;
                    } else {
                        const int32_t m = pair[facet], sign = signs[facet];
                        at.x += shifts[2 * facet], at.y += shifts[2 * facet + 1];
                        cell = twins[facet] / 3, entered = twins[facet] % 3;
                        for (int j = 0; j < pairs; j++)
                            products[(pairs * i + m) * pairs + j] +=
                                sign * (w[j] + (j == m ? 0.5 * sign : 0));
                        w[m] += sign;
                    }
                }
            }
            if (stuck >= STUCK) {
                const double *o = vertices + 6 * cell, dx = at.dx;
                const double angle = 2e-6 * (uniform(&of) - 0.5);
                at.x += 1e-7 * ((o[0] + o[2] + o[4]) / 3 - at.x);
                at.y += 1e-7 * ((o[1] + o[3] + o[5]) / 3 - at.y);
                at.dx -= angle * at.dy, at.dy += angle * dx;
                entered = -1, stuck = 0, counts[1]++;
            }
        }
        places[4 * i] = at.x, places[4 * i + 1] = at.y;
        places[4 * i + 2] = at.dx, places[4 * i + 3] = at.dy;
        if (sphere)
            phase[i] = speed;
    }
    return 0;
}

/* A cubic of each step of log s between knots with a value and a slope (2), constant outside. */
static double tabulated(const double *table, int knots, double low, double step, double s)
{
    const double at = s > 0 ? (log(s) - low) / step : -1;
    if (at <= 0)
        return table[0];
    const int i = (int)at;
    if (i >= knots - 1)
        return table[2 * (knots - 1)];
    const double t = at - i, u = 1 - t, *f = table + 2 * i;
    return u * u * (1 + 2 * t) * f[0] + t * t * (1 + 2 * u) * f[2] +
           step * t * u * (u * f[1] - t * f[3]);
}

/* Where a straight path leaves a section with straight sides, of each its beginning and the way to
   its end (4), the conductor on its left; `from` is the side that it comes from, or -1. */
static way leave_sides(place at, int from, int count, const double *sides)
{
    way best = {1e300, 0, -1};
    for (int j = 0; j < count; j++) {
        const double *e = sides + 4 * j, rate = at.dx * e[3] - at.dy * e[2];
        if (j == from || rate <= 0)
            continue;
        const double x = e[0] - at.x, y = e[1] - at.y;
        const double length = (x * e[3] - y * e[2]) / rate, s = (x * at.dy - y * at.dx) / rate;
        if (s > -1e-12 && s < 1 + 1e-12 && length > -BEHIND && length < best.length)
            best = (way){length, s, j};
    }
    return best;
}

/* The same sums as `flights` in such a section; where paths begin the second number is the side. */
void flights_of_sides(int64_t count, double path, double least, int64_t most, int number,
                      const double *sides, const double *specularity, const double *table,
                      int knots, double low, double step, const double *places,
                      const int32_t *where, double *sums)
{
    const double end = table[2 * (knots - 1)];
    for (int64_t i = 0; i < count; i++) {
        place at = {places[4 * i], places[4 * i + 1], places[4 * i + 2], places[4 * i + 3]};
        double length = 0, weight = 1, sum = 0, before = table[0];
        int from = where[2 * i + 1];
        for (int64_t walls = 0; weight * fabs(end - before) > least; walls++) {
            const way out = leave_sides(at, from, number, sides);
            if (out.edge < 0 || walls == most) { /* into a corner, to rounding */
                sum += weight * (end - before);
                break;
            }
            const double go = out.length > 0 ? out.length : 0;
            length += go, at = moved(at, 0, go), from = out.edge;
            const double after = tabulated(table, knots, low, step, length / path);
            sum += weight * (after - before);
            before = after, weight *= specularity[from];
            const double *e = sides + 4 * from, square = e[2] * e[2] + e[3] * e[3];
            const double across = 2 * (at.dx * e[3] - at.dy * e[2]) / square;
            at.dx -= across * e[3], at.dy += across * e[2];
        }
        sums[i] = sum;
    }
}

/* Sums over straight paths that walls reflect as mirrors: of w (F(s') - F(s)), from each wall at s
   to the next one at s', where w is the product of the specularities so far and F a table over
   the logarithm of lengths in units of the mean free path. Cells and facets as for `trace`; of
   each path place and direction (4), cell and edge that it comes from or -1 (2). Ends where less
   than `least` is left; after `most` walls all that is left counts. */
void flights(int64_t count, double path, double least, int64_t most, const double *vertices,
             const int32_t *behind, const int32_t *bent, const double *controls, int degree,
             const double *specularity, const double *table, int knots, double low, double step,
             const double *places, const int32_t *where, double *sums)
{
    const double end = table[2 * (knots - 1)];
    for (int64_t i = 0; i < count; i++) {
        place at = {places[4 * i], places[4 * i + 1], places[4 * i + 2], places[4 * i + 3]};
        int32_t cell = where[2 * i], entered = where[2 * i + 1];
        double length = 0, weight = 1, sum = 0, before = table[0];
        double off = 1e-9;
        int stuck = 0;
        for (int64_t walls = 0; weight * fabs(end - before) > least;) {
            const double *v = vertices + 6 * cell;
            const double *control = bent[cell] < 0 ? 0 : controls + 6 * (degree + 1) * bent[cell];
            const way out = leave(at, 0, entered, v, control, degree);
            double slope[2];
            if (out.edge >= 0) {
                const double go = out.length > 0 ? out.length : 0;
                length += go, stuck = go < 1e-13 ? stuck + 1 : 0;
                at = moved(at, 0, go);
                if (control) {
                    double x[2];
                    curve(control + 2 * out.edge * (degree + 1), degree, out.s, x, slope);
                    at.x = x[0], at.y = x[1];
                } else {
                    const double *p = v + 2 * ((out.edge + 1) % 3), *q = v + 2 * ((out.edge + 2) % 3);
                    slope[0] = q[0] - p[0], slope[1] = q[1] - p[1];
                }
                const int32_t next = behind[3 * cell + out.edge];
                entered = out.edge;
                if (next >= 0) {
                    cell = next / 3, entered = next % 3;
                } else {
                    const double after = tabulated(table, knots, low, step, length / path);
                    sum += weight * (after - before);
                    before = after, weight *= specularity[-1 - next];
                    if (++walls == most) {
                        sum += weight * (end - before);
                        break;
                    }
                    const double norm = 1 / sqrt(slope[0] * slope[0] + slope[1] * slope[1]);
                    const double tx = slope[0] * norm, ty = slope[1] * norm;
                    const double along = at.dx * tx + at.dy * ty;
                    const double inwards = fabs(at.dy * tx - at.dx * ty);
                    at.dx = along * tx - inwards * ty, at.dy = along * ty + inwards * tx;
                    const double unity = 1.5 - 0.5 * (at.dx * at.dx + at.dy * at.dy);
                    at.dx *= unity, at.dy *= unity;
                }
            }
            if (out.edge < 0 || stuck >= STUCK) { /* off a corner, or off a curved edge */
                at.x += off * ((v[0] + v[2] + v[4]) / 3 - at.x);
                at.y += off * ((v[1] + v[3] + v[5]) / 3 - at.y);
                entered = -1, stuck = 0, off *= 4;
                if (off > 0.1) { /* along an edge that bends, to rounding: into a wall */
                    sum += weight * (end - before);
                    break;
                }
            }
        }
        sums[i] = sum;
    }
}
