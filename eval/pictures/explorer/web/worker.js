// Mean field on the thumbnail, with the sum over all pairs of pixels: the energy and the normalization of the layer,
//     Q_i  <-  softmax over labels of   unary_i - sum_m w_m matrix_m (K_m Q)_i.
// Everything is a list of planes, one per label, in double precision.
"use strict";

// A label that no pixel believes in more than this sends nothing: beliefs stay right to 8 bits, and most of many labels drop out.
const NO_BELIEF = 5e-4;
// A kernel below this is lost beside 1 in double precision.
const NO_KERNEL = 1e-16;

onmessage = ({ data: problem }) => {
  const { iterations, kernels } = problem;
  const steps = kernels.length * (iterations + 1);
  let done = 0;
  const progress = (part) => postMessage({ progress: (done + part) / steps });
  const filters = kernels.map((kernel) => {
    const filter = normalized(problem, rawFilter(problem, kernel, progress));
    done++;
    return filter;
  });
  let logits = problem.unary;
  let beliefs = softmax(logits);
  for (let t = 1; t <= iterations; t++) {
    logits = problem.unary.map((plane) => plane.slice());
    kernels.forEach((kernel, m) => {
      charge(logits, messagesOf(filters[m], beliefs), kernel);
      done++;
      progress(0);
    });
    beliefs = softmax(logits);
    postMessage({ iteration: t, beliefs });
  }
  postMessage({ done: true, iteration: iterations, beliefs, logits });
};

// K Q; labels that no pixel believes in send nothing.
function messagesOf(filter, beliefs) {
  const sending = beliefs.map((plane) => plane.some((belief) => belief > NO_BELIEF));
  const heard = filter(beliefs.filter((_, label) => sending[label]));
  return beliefs.map((plane, label) => (sending[label] ? heard.shift() : new Float64Array(plane.length)));
}

// x = U - w matrix messages
function charge(logits, messages, { weight, matrix }) {
  logits.forEach((plane, label) =>
    messages.forEach((message, other) => {
      const factor = weight * matrix[label][other];
      if (factor !== 0) for (let i = 0; i < plane.length; i++) plane[i] -= factor * message[i];
    }),
  );
}

function softmax(logits) {
  const beliefs = logits.map((plane) => new Float64Array(plane.length));
  for (let i = 0; i < logits[0].length; i++) {
    let largest = -Infinity, total = 0;
    for (const plane of logits) largest = Math.max(largest, plane[i]);
    logits.forEach((plane, label) => (total += beliefs[label][i] = Math.exp(plane[i] - largest)));
    for (const plane of beliefs) plane[i] /= total;
  }
  return beliefs;
}

// outer K inner, the factors being found from the row sums of K.
function normalized({ width, height, normalization, excludeSelf }, filter) {
  if (normalization === "none") return filter;
  const [sums] = filter([new Float64Array(width * height).fill(1)]);
  const factors = sums.map((sum) => (sum <= (excludeSelf ? 64 * Number.EPSILON : 0) ? 0 : 1 / sum));
  const roots = factors.map(Math.sqrt);
  const inner = { before: factors, symmetric: roots }[normalization];
  const outer = { after: factors, symmetric: roots }[normalization];
  return (planes) => times(filter(times(planes, inner)), outer);
}

const times = (planes, factors) => (factors ? planes.map((plane) => plane.map((each, i) => each * factors[i])) : planes);

function rawFilter(problem, kernel, progress) {
  const columns = reach(problem.width, problem.scaleX, kernel.position);
  const rows = reach(problem.height, problem.scaleY, kernel.position);
  if (kernel.color === null) return (planes) => planes.map((plane) => separable(problem, columns, rows, plane));
  const like = likeness(kernel.color);
  return (planes) => allPairs(problem, columns, rows, like, planes, progress);
}

// exp(-d^2 / (2 theta^2)) for distances of 0, 1, ... pixels of the thumbnail; theta is in pixels of the photo.
function reach(length, scale, theta) {
  return Float64Array.from({ length }, (_, d) => (theta === null ? 1 : Math.exp(-((d * scale) ** 2) / (2 * theta ** 2))));
}

// The same for every squared distance of two colors up to the one where nothing is left.
function likeness(theta) {
  const length = Math.min(3 * 255 ** 2, Math.ceil(-Math.log(NO_KERNEL) * 2 * theta ** 2)) + 1;
  return Float64Array.from({ length }, (_, square) => Math.exp(-square / (2 * theta ** 2)));
}

// A Gaussian of positions alone is a product: first along rows, then along columns.
function separable({ width, height, excludeSelf }, columns, rows, plane) {
  const along = new Float64Array(plane.length), out = new Float64Array(plane.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let from = 0; from < width; from++) sum += columns[Math.abs(x - from)] * plane[y * width + from];
      along[y * width + x] = sum;
    }
  }
  for (let y = 0; y < height; y++) {
    for (let from = 0; from < height; from++) {
      const factor = rows[Math.abs(y - from)];
      if (factor < NO_KERNEL) continue;
      for (let x = 0; x < width; x++) out[y * width + x] += factor * along[from * width + x];
    }
  }
  return excludeSelf ? out.map((each, i) => each - plane[i]) : out;
}

// Row by row of K: k(i, j) for all j, then its products with all planes.
function allPairs(problem, columns, rows, like, planes, progress) {
  const { width, height, excludeSelf } = problem;
  const out = planes.map((plane) => new Float64Array(plane.length));
  const row = new Float64Array(width * height);
  for (let y = 0, i = 0; y < height; y++, progress(y / height)) {
    for (let x = 0; x < width; x++, i++) {
      fillRow(row, problem, i, x, y, columns, rows, like);
      if (excludeSelf) row[i] = 0;
      let label = 0;
      for (; label + 4 <= planes.length; label += 4) fourProducts(row, planes, out, label, i);
      for (; label < planes.length; label++) out[label][i] = product(row, planes[label]);
    }
  }
  return out;
}

function fillRow(row, { width, height, red, green, blue }, i, x, y, columns, rows, like) {
  const r = red[i], g = green[i], b = blue[i];
  for (let yj = 0, j = 0; yj < height; yj++) {
    const near = rows[Math.abs(yj - y)];
    for (let xj = 0; xj < width; xj++, j++) {
      const dr = red[j] - r, dg = green[j] - g, db = blue[j] - b; // x * x is many times faster than x ** 2
      const square = dr * dr + dg * dg + db * db;
      row[j] = square < like.length ? near * columns[Math.abs(xj - x)] * like[square] : 0;
    }
  }
}

function product(row, plane) {
  let sum = 0;
  for (let j = 0; j < row.length; j++) sum += row[j] * plane[j];
  return sum;
}

// Four at once, so that the sums do not wait for one another.
function fourProducts(row, planes, out, label, i) {
  const [p, q, r, s] = [planes[label], planes[label + 1], planes[label + 2], planes[label + 3]];
  let a = 0, b = 0, c = 0, d = 0;
  for (let j = 0; j < row.length; j++) {
    const k = row[j];
    a += k * p[j];
    b += k * q[j];
    c += k * r[j];
    d += k * s[j];
  }
  out[label][i] = a;
  out[label + 1][i] = b;
  out[label + 2][i] = c;
  out[label + 3][i] = d;
}
