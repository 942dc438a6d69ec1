// What happened: photo, beliefs and terms of every iteration, label and pixel. A label is named by its place among the
// shown ones; the place after the last of them stands for all others together.

async function readModel(data) {
  const { width, height } = data;
  const [photo, labels, truth, beliefs, unary, penalties, roots, thumbnail] = await Promise.all([
    readPhoto(data.photo),
    unpacked(data.labels),
    data.truth && unpacked(data.truth),
    unpackedFamily(data.beliefs),
    Promise.all(data.unary.map(unpackedNumbers)),
    Promise.all(data.penalties.map(unpackedFamily)),
    Promise.all(data.crf.kernels.map((kernel) => kernel.roots && unpackedNumbers(kernel.roots))),
    readThumbnail(data.thumbnail),
  ]);
  const names = data.shown.map((label) => data.classes[label]);
  const complete = names.length === data.classes.length;
  const model = {
    width, height, names, photo, labels, thumbnail, complete,
    pixels: width * height,
    iterations: data.iterations,
    classes: data.classes,
    shown: data.shown,
    void: data.void,
    truth: truth && truth[0],
    crf: { ...data.crf, kernels: data.crf.kernels.map((kernel, m) => ({ ...kernel, roots: roots[m] })) },
    freeEnergy: data.freeEnergy,
    others: names.length,
    beliefFrame: (label, t) => beliefs[label].frames[t],
    unary: (label, i) => unary[label].value(0, i),
    penalty: (m, label, t, i) => (t === 0 ? 0 : penalties[m][label].value(t - 1, i)),
  };
  model.belief = (label, t, i) =>
    label < names.length
      ? beliefs[label].value(t, i)
      : Math.max(0, 1 - beliefs.reduce((sum, each) => sum + each.value(t, i), 0));
  model.split = (label, t, i) => {
    const charged = model.crf.kernels.map((_, m) => model.penalty(m, label, t, i));
    const first = model.unary(label, i);
    return { unary: first, penalties: charged, logit: charged.reduce((rest, each) => rest - each, first) };
  };
  model.place = (label) => (data.shown.includes(label) ? data.shown.indexOf(label) : model.others);
  model.nameOf = (label) => (label === data.void ? "void" : data.classes[label]);
  model.counts = Array.from({ length: data.iterations + 1 }, (_, t) => countsOf(model, t));
  return model;
}

async function readPhoto(strip) {
  const [green, red, blue] = await unpacked(strip);
  return { width: strip.width, height: strip.height, red, green, blue };
}

async function readThumbnail(data) {
  const size = data.width * data.height;
  const strips = await Promise.all(data.unary.map(unpackedNumbers));
  const unary = strips.map((strip) => Float64Array.from({ length: size }, (_, i) => strip.value(0, i)));
  return { ...data, photo: await readPhoto(data.photo), unary };
}

// How many pixels changed their label in an iteration, and how many of those with a truth are wrong.
function countsOf(model, t) {
  const now = model.labels[t];
  let changed = 0, mistakes = 0, scored = 0;
  for (let i = 0; i < model.pixels; i++) {
    if (t > 0 && now[i] !== model.labels[t - 1][i]) changed++;
    if (model.truth && model.truth[i] !== model.void) {
      scored++;
      if (now[i] !== model.truth[i]) mistakes++;
    }
  }
  return { changed, mistakes, scored };
}

// The pixel whose belief in its last label grew the most: a good one to begin with.
function mostChanged(model) {
  let best = Math.floor(model.height / 2) * model.width + Math.floor(model.width / 2), most = 0;
  for (let label = 0; label < model.names.length; label++) {
    const first = model.beliefFrame(label, 0), last = model.beliefFrame(label, model.iterations);
    for (let i = 0; i < model.pixels; i++) {
      if (last[i] - first[i] > most) [best, most] = [i, last[i] - first[i]];
    }
  }
  return best;
}
