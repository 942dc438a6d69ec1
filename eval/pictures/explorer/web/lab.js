// Other numbers for the CRF, tried on the thumbnail: a worker runs mean field with the sum over all pairs of pixels.

const WAIT_MS = 200;

function makeLab(model, styles, store) {
  const small = model.thumbnail;
  const original = {
    iterations: model.iterations,
    kernels: model.crf.kernels.map(({ weight, position, color }) => ({ weight, position, color })),
  };
  const lab = { original, settings: structuredClone(original), baseline: null, result: null };
  let worker = null, timer = 0;
  const draw = () => {
    drawLabels($("lab-before"), model, styles, lab.baseline, store.state);
    drawLabels($("lab-after"), model, styles, lab.result, store.state);
  };

  // Resolves with the beliefs and logits, a plane per label, after the last iteration; a later run ends an earlier one.
  lab.run = (settings, onBeliefs = () => {}) => {
    worker?.terminate();
    const started = performance.now();
    worker = startWorker();
    worker.postMessage(problemOf(model, settings));
    $("lab-progress").hidden = false;
    return new Promise((resolve, reject) => {
      worker.onerror = (event) => reject(new Error(event.message));
      worker.onmessage = ({ data }) => {
        if (data.progress !== undefined) $("lab-progress").value = data.progress;
        if (data.beliefs) onBeliefs(data.beliefs);
        if (!data.done) return;
        $("lab-progress").hidden = true;
        resolve({ beliefs: data.beliefs, logits: data.logits, seconds: (performance.now() - started) / 1000 });
      };
    });
  };
  const show = (beliefs) => {
    lab.result = beliefs;
    lab.baseline ??= null;
    draw();
  };
  lab.apply = async () => {
    const { beliefs, seconds } = await lab.run(lab.settings, show);
    show(beliefs);
    $("lab-status").textContent = report(model, lab, seconds);
  };
  lab.change = () => {
    clearTimeout(timer);
    $("lab-status").textContent = "computing …";
    timer = setTimeout(lab.apply, WAIT_MS);
  };
  lab.ready = lab.run(original, show).then(({ beliefs, seconds }) => {
    lab.baseline = lab.result = beliefs;
    draw();
    $("lab-status").textContent = report(model, lab, seconds);
  });
  makeSliders(model, lab);
  store.watch(unlessSame(["label", "layer"], draw));
  $("lab-size").textContent = `${small.width} × ${small.height} pixels`;
  return lab;
}

function startWorker() {
  const address = URL.createObjectURL(new Blob([$("worker").textContent], { type: "text/javascript" }));
  const worker = new Worker(address);
  URL.revokeObjectURL(address);
  return worker;
}

function problemOf(model, settings) {
  const { width, height, unary, labels, photo } = model.thumbnail;
  const { normalization, excludeSelf, kernels } = model.crf;
  return {
    width, height, unary, normalization, excludeSelf,
    red: photo.red, green: photo.green, blue: photo.blue,
    scaleX: model.width / width,
    scaleY: model.height / height,
    iterations: settings.iterations,
    kernels: kernels.map(({ matrix }, m) => ({ matrix: labels.map((row) => labels.map((column) => matrix[row][column])), ...settings.kernels[m] })),
  };
}

function report(model, lab, seconds) {
  const [before, after] = [lab.baseline, lab.result].map((beliefs) => likeliest(model, beliefs));
  const moved = after.reduce((sum, label, i) => sum + (label !== before[i]), 0);
  const time = `exact sums in ${seconds.toFixed(1)} s`;
  if (lab.result === lab.baseline) return `${time} · move a slider, and the right picture follows`;
  return `${time} · ${((100 * moved) / after.length).toFixed(1)} % of the pixels have another label than with the numbers of the layer`;
}

// The likeliest labels of the thumbnail, as numbers among all labels.
function likeliest(model, beliefs) {
  return Uint8Array.from(beliefs[0], (_, i) => {
    let best = 0;
    for (let label = 1; label < beliefs.length; label++) if (beliefs[label][i] > beliefs[best][i]) best = label;
    return model.thumbnail.labels[best];
  });
}

// The likeliest labels over the thumbnail, or the belief in the chosen one where that is what the large picture shows.
function drawLabels(canvas, model, styles, beliefs, state) {
  const { width, height, photo } = model.thumbnail;
  drawPhoto(canvas, photo);
  if (!beliefs) return;
  const small = { ...model, width, height, pixels: width * height, labels: [likeliest(model, beliefs)] };
  small.belief = (label, t, i) => beliefs[model.thumbnail.labels.indexOf(model.shown[label])]?.[i] ?? 0;
  const layer = ["belief", "difference"].includes(state.layer) ? "belief" : "labels";
  const over = document.createElement("canvas");
  const scale = enlargement(small);
  drawLayer(over, small, styles, { ...state, layer, iteration: 0 }, scale);
  canvas.width = width * scale;
  canvas.height = height * scale;
  const under = document.createElement("canvas");
  drawPhoto(under, photo);
  const context = canvas.getContext("2d");
  context.drawImage(under, 0, 0, canvas.width, canvas.height);
  context.globalAlpha = state.opacity;
  context.drawImage(over, 0, 0);
}

function makeSliders(model, lab) {
  const fields = [];
  const add = (group, name, unit, range, get, set) => {
    const row = document.createElement("label");
    const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 1000, step: 1 });
    const number = Object.assign(document.createElement("input"), { type: "number", min: range.least, max: range.most, step: "any" });
    const refresh = () => {
      number.value = +get().toFixed(3);
      slider.value = 1000 * range.place(get());
    };
    const accept = (value) => {
      if (!(value >= range.least)) return;
      set(range.whole ? Math.round(value) : value);
      refresh();
      lab.change();
    };
    slider.oninput = () => accept(+range.value(slider.valueAsNumber / 1000).toPrecision(3));
    number.onchange = () => accept(number.valueAsNumber);
    number.dataset.setting = slider.dataset.slider = `${group.dataset.name} ${name}`;
    row.append(name, slider, number, unit);
    group.append(row);
    refresh();
    fields.push(refresh);
  };
  lab.original.kernels.forEach((kernel, m) => {
    const group = groupOf(model.crf.kernels[m].name);
    const settings = () => lab.settings.kernels[m];
    const weight = model.crf.kernels[m].learned ? "factor" : "weight";
    add(group, weight, "", linear(Math.min(0, kernel.weight), Math.max(10, 3 * kernel.weight)), () => settings().weight, (v) => (settings().weight = v));
    if (kernel.position !== null) add(group, "θ position", "px", logarithmic(0.3, 500), () => settings().position, (v) => (settings().position = v));
    if (kernel.color !== null) add(group, "θ color", "gray levels", logarithmic(0.5, 300), () => settings().color, (v) => (settings().color = v));
  });
  add(groupOf("mean field"), "T", "iterations", { ...linear(0, Math.max(20, model.iterations)), whole: true }, () => lab.settings.iterations, (v) => (lab.settings.iterations = v));
  $("lab-reset").onclick = () => {
    lab.settings = structuredClone(lab.original);
    fields.forEach((refresh) => refresh());
    lab.change();
  };
}

function groupOf(name) {
  const group = document.createElement("fieldset");
  const legend = document.createElement("legend");
  legend.textContent = group.dataset.name = name;
  group.append(legend);
  $("lab-sliders").append(group);
  return group;
}

const linear = (least, most) => ({ least, most, place: (v) => (v - least) / (most - least), value: (p) => least + p * (most - least) });
const logarithmic = (least, most) => ({
  least: 1e-3, most: 1e4, place: (v) => Math.log(v / least) / Math.log(most / least), value: (p) => least * (most / least) ** p,
});
