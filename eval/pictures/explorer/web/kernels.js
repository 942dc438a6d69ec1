// K(i, .): what pixel i hears of every pixel, as sums over all of them, without a lattice.

// k(i, j) of one kernel for all j.
function kernelRow(kernel, photo, i, excludeSelf) {
  const { width, height, red, green, blue } = photo;
  const row = new Float32Array(width * height);
  const x0 = i % width, y0 = Math.floor(i / width);
  const near = kernel.position === null ? 0 : 1 / (2 * kernel.position ** 2);
  const like = kernel.color === null ? 0 : 1 / (2 * kernel.color ** 2);
  for (let y = 0, j = 0; y < height; y++) {
    for (let x = 0; x < width; x++, j++) {
      const r = red[j] - red[i], g = green[j] - green[i], b = blue[j] - blue[i];
      const dx = x - x0, dy = y - y0;
      row[j] = Math.exp(-near * (dx * dx + dy * dy) - like * (r * r + g * g + b * b));
    }
  }
  if (excludeSelf) row[i] = 0;
  return row;
}

const sumOf = (row) => row.reduce((sum, each) => sum + each, 0);

// The same, normalized as the layer normalizes: by its own sum where that comes last, else by the sums the layer found.
function normalizedRow(model, m, i, row) {
  const { normalization, excludeSelf, kernels } = model.crf;
  if (normalization === "none") return row;
  if (normalization === "after") {
    const total = sumOf(row);
    const factor = total <= (excludeSelf ? 64 * 2 ** -23 : 0) ? 0 : 1 / total;
    return row.map((each) => each * factor);
  }
  const root = (j) => kernels[m].roots.value(0, j);
  return row.map((each, j) => (each === 0 ? 0 : each * root(j) * (normalization === "symmetric" ? root(i) : root(j))));
}

// What a kernel of the model looks like at pixel i.
function lookAt(model, m, i) {
  const row = kernelRow(model.crf.kernels[m], model.photo, i, model.crf.excludeSelf);
  return { row, total: sumOf(row), normalized: normalizedRow(model, m, i, row) };
}

// What every label, by the beliefs before iteration t, adds to the penalty of `label` at a pixel: one number per kernel.
// The labels that are not shown count as one, with the mean of their penalties.
function senders(model, looks, t, label) {
  if (t === 0) return [];
  const charged = [];
  for (let sender = 0; sender < model.names.length + (model.complete ? 0 : 1); sender++) {
    const kernels = looks.map((look, m) => penaltyOf(model, m, label, sender) * heard(model, look.normalized, t - 1, sender));
    charged.push({ sender, kernels, total: kernels.reduce((sum, each) => sum + each, 0) });
  }
  return charged;
}

function heard(model, row, t, sender) {
  if (sender === model.others) {
    const known = model.names.map((_, shown) => heard(model, row, t, shown));
    return sumOf(row) - known.reduce((sum, each) => sum + each, 0);
  }
  const beliefs = model.beliefFrame(sender, t);
  let sum = 0;
  for (let j = 0; j < row.length; j++) sum += row[j] * beliefs[j];
  return sum / 255;
}

function penaltyOf(model, m, label, sender) {
  const kernel = model.crf.kernels[m];
  const penalties = kernel.matrix[model.shown[label]];
  if (sender < model.others) return kernel.weight * penalties[model.shown[sender]];
  const rest = penalties.filter((_, other) => !model.shown.includes(other));
  return (kernel.weight * sumOf(rest)) / rest.length;
}
