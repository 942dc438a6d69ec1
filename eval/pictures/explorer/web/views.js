// The parts of the page that follow the state.

const $ = (id) => document.getElementById(id);

function makeViews(model, styles, store) {
  const scale = enlargement(model);
  drawPhoto($("photo"), model.photo);
  $("marks").width = Math.max(model.width * scale, 900);
  $("marks").height = Math.round(($("marks").width * model.height) / model.width);
  $("stage").style.aspectRatio = `${model.width} / ${model.height}`;
  $("kernel-legend").innerHTML = kernelLegend(model);
  const film = makeFilm(model, store);
  const kernelMaps = makeKernelMaps(model);

  store.watch(unlessSame(["iteration", "reference", "label", "layer"], (state) => {
    drawLayer($("overlay"), model, styles, state, scale);
    showLegend(model, styles, state);
    showIteration(model, state);
  }));
  store.watch(unlessSame(["label", "layer", "reference"], (state) => film.draw(styles, state)));
  store.watch(unlessSame(["iteration"], (state) => film.mark(state)));
  store.watch(unlessSame(["opacity"], (state) => {
    $("overlay").style.opacity = state.opacity;
    $("opacity").value = state.opacity;
  }));
  store.watch(unlessSame(["pixel", "frozen"], (state) => drawCross($("marks"), model, state.pixel, state.frozen)));
  store.watch(unlessSame(["pixel", "iteration", "label", "frozen"], (state) => showPixel(model, styles, state)));
  store.watch(unlessSame(["pixel", "frozen", "iteration", "label"], (state) => kernelMaps.plan(styles, state)));
  store.watch(unlessSame(["label", "layer", "playing"], showControls));
  return kernelMaps;
}

function showControls(state) {
  for (const button of document.querySelectorAll("[data-layer]")) button.setAttribute("aria-pressed", button.dataset.layer === state.layer);
  for (const button of document.querySelectorAll("[data-label]")) button.setAttribute("aria-pressed", Number(button.dataset.label) === state.label);
  $("play").textContent = state.playing ? "❚❚ stop" : "▶ play";
  $("reference-line").hidden = state.layer !== "difference";
}

function showIteration(model, state) {
  $("iteration").value = state.iteration;
  $("reference").value = state.reference;
  const { changed, mistakes, scored } = model.counts[state.iteration];
  const parts = [state.iteration === 0 ? "the network alone" : `iteration ${state.iteration} of ${model.iterations}`];
  if (state.iteration > 0) parts.push(`${changed.toLocaleString("en")} pixels changed their label`);
  if (scored > 0) parts.push(`${((100 * mistakes) / scored).toFixed(2)} % of pixels wrong`);
  parts.push(`free energy ${model.freeEnergy[state.iteration].toFixed(3)} per pixel`);
  $("status").textContent = parts.join(" · ");
}

function showLegend(model, styles, state) {
  const bar = (stops, low, high) => `<span>${low}</span><i class="bar" style="background: ${stops}"></i><span>${high}</span>`;
  const name = escaped(model.names[state.label]);
  const legend = $("legend");
  legend.innerHTML = {
    photo: "the photograph alone",
    belief: `belief in ${name}: ${bar(gradient(VIRIDIS), "0", "1")} · white line: one half`,
    difference: `belief in ${name}, iteration ${state.iteration} less ${state.reference}: ${bar(gradient([LOWERED, [245, 245, 245], RAISED]), "\\\\\\ lower", "higher ///")}`,
    mistakes: "crosshatched red: another label than the truth · pale: void",
  }[state.layer] ?? "";
  if (legend.innerHTML) return;
  const labels = state.layer === "truth" ? model.truth : model.labels[state.iteration];
  const present = new Set(labels);
  styles.forEach((style, place) => {
    const inSight = [...present].filter((label) => label !== model.void && model.place(label) === place);
    if (!inSight.length) return;
    const item = document.createElement("span");
    item.append(style.plain ? "" : swatch(style), ` ${inSight.map(model.nameOf).join(", ")}${style.plain ? " (not painted)" : ""}`);
    legend.append(item);
  });
}

function showPixel(model, styles, state) {
  const x = state.pixel % model.width, y = Math.floor(state.pixel / model.width);
  const { red, green, blue } = model.photo;
  const color = [red, green, blue].map((plane) => plane[state.pixel]);
  const label = model.nameOf(model.labels[state.iteration][state.pixel]);
  const truth = model.truth ? ` · truth: ${model.nameOf(model.truth[state.pixel])}` : "";
  $("pixel-color").style.background = css(color);
  $("pixel-name").textContent = `x ${x}, y ${y} · RGB ${color.join(" ")} · ${label}${truth}`;
  $("release").hidden = !state.frozen;
  $("frozen").textContent = state.frozen ? "frozen" : "follows the pointer; click to freeze";
  $("curves").innerHTML = beliefCurves(model, styles, state);
  $("split").innerHTML = logitSplit(model, styles, state);
}

// One small picture of the layer per iteration, each a button.
function makeFilm(model, store) {
  const frames = Array.from({ length: model.iterations + 1 }, (_, t) => {
    const button = document.createElement("button");
    const canvas = document.createElement("canvas");
    button.append(canvas, t === 0 ? "network" : String(t));
    button.title = t === 0 ? "the network alone" : `iteration ${t}`;
    button.onclick = () => store.change({ iteration: t, playing: false });
    $("film").append(button);
    return { button, canvas };
  });
  return {
    draw: (styles, state) => frames.forEach(({ canvas }, t) => drawLayer(canvas, model, styles, { ...state, iteration: t }, 1)),
    mark: (state) => frames.forEach(({ button }, t) => button.setAttribute("aria-current", t === state.iteration)),
  };
}

// K(i, .) of every kernel and what was charged: sums over all pixels, which wait until the pointer rests.
function makeKernelMaps(model) {
  const cells = model.crf.kernels.map(() => {
    const figure = document.createElement("figure");
    figure.append(document.createElement("canvas"), document.createElement("figcaption"));
    $("kernels").append(figure);
    return figure;
  });
  let looks = [], seen = -1, timer = 0;
  const draw = (styles, state) => {
    if (seen !== state.pixel) {
      looks = model.crf.kernels.map((_, m) => lookAt(model, m, state.pixel));
      looks.forEach((look, m) => showKernel(model, cells[m], m, state.pixel, look));
      seen = state.pixel;
    }
    showSenders(model, styles, state, senders(model, looks, state.iteration, state.label));
  };
  return {
    plan(styles, state) {
      clearTimeout(timer);
      if (state.frozen || seen === -1 || seen === state.pixel) draw(styles, state);
      else timer = setTimeout(() => draw(styles, state), 60);
    },
  };
}

function showKernel(model, figure, m, i, look) {
  const kernel = model.crf.kernels[m];
  const [canvas, caption] = figure.children;
  const part = drawHeat(canvas, model, kernel, i, look.row);
  const thetas = [kernel.position && `${+kernel.position.toFixed(2)} px`, kernel.color && `${+kernel.color.toFixed(2)} gray levels`];
  const close = part.width < model.width ? `; close-up of ${part.width} x ${part.height} px` : "";
  figure.style.setProperty("--x", `${(100 * ((i % model.width) - part.left + 0.5)) / part.width}%`);
  figure.style.setProperty("--y", `${(100 * (Math.floor(i / model.width) - part.top + 0.5)) / part.height}%`);
  caption.innerHTML =
    `<b>${escaped(kernel.name)}</b>, θ ${thetas.filter(Boolean).join(" and ")}${close}<br>` +
    `hears as much as from ${look.total.toLocaleString("en", { maximumFractionDigits: 1 })} equal pixels`;
}

function showSenders(model, styles, state, charged) {
  const name = model.names[state.label];
  $("senders-title").textContent = `Charged to “${name}” in iteration ${state.iteration}, by the label that the others believed in`;
  if (state.iteration === 0) {
    $("senders").innerHTML = "";
    $("senders-sum").textContent = "The network alone: nothing is charged yet. Move to an iteration.";
    return;
  }
  $("senders").innerHTML = senderBars(model, styles, state, charged);
  const exact = charged.reduce((sum, { total }) => sum + total, 0);
  const layer = model.split(state.label, state.iteration, state.pixel).penalties.reduce((sum, each) => sum + each, 0);
  $("senders-sum").textContent =
    `Together ${signed(exact)} by the exact sum over all pixels; the layer, with its filter, charged ${signed(layer)}.`;
}
