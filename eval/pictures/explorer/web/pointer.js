// Pointer and controls.

function listen(model, styles, store) {
  const { state, change } = store;
  const pixelAt = (event) => {
    const box = $("stage").getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * model.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * model.height);
    return clamp(y, model.height) * model.width + clamp(x, model.width);
  };
  $("stage").onpointermove = (event) => state.frozen || change({ pixel: pixelAt(event) });
  $("stage").onclick = (event) => change({ pixel: pixelAt(event), frozen: true });
  $("release").onclick = () => change({ frozen: false });
  $("iteration").oninput = (event) => change({ iteration: event.target.valueAsNumber, playing: false });
  $("reference").oninput = (event) => change({ reference: event.target.valueAsNumber });
  $("opacity").oninput = (event) => change({ opacity: event.target.valueAsNumber });
  $("play").onclick = () => play(model, store);
  for (const slider of [$("iteration"), $("reference")]) slider.max = model.iterations;
  for (const button of document.querySelectorAll("[data-layer]")) {
    button.disabled = !model.truth && ["truth", "mistakes"].includes(button.dataset.layer);
    if (button.disabled) button.title = "needs a mask: --truth";
    button.onclick = () => change({ layer: button.dataset.layer });
  }
  model.names.forEach((name, label) => {
    const button = document.createElement("button");
    button.dataset.label = label;
    button.append(swatch(styles[label]), `${styles[label].mark} ${name}`, key(label < 9 ? label + 1 : ""));
    button.onclick = () => change({ label });
    $("label-buttons").append(button);
  });
}

const clamp = (value, length) => Math.min(Math.max(value, 0), length - 1);

function key(name) {
  const element = document.createElement("kbd");
  element.textContent = name;
  return name === "" ? "" : element;
}

const STEP_MS = 650;

// Walks through the iterations, from the first where the last one is shown, and stops there.
function play(model, store) {
  const { state, change } = store;
  if (state.playing) return change({ playing: false });
  change({ playing: true, iteration: state.iteration === model.iterations ? 0 : state.iteration });
  const timer = setInterval(() => {
    if (state.playing && state.iteration < model.iterations) change({ iteration: state.iteration + 1 });
    if (!state.playing || state.iteration >= model.iterations) {
      clearInterval(timer);
      change({ playing: false });
    }
  }, STEP_MS);
}
