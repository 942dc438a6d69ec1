// Keys. The list at the end of the page is made from this one.

function keysOf(model, store) {
  const { state, change } = store;
  const step = (by) => change({ iteration: clamp(state.iteration + by, model.iterations + 1), playing: false });
  const move = (dx, dy) => {
    const x = clamp((state.pixel % model.width) + dx, model.width);
    const y = clamp(Math.floor(state.pixel / model.width) + dy, model.height);
    change({ pixel: y * model.width + x, frozen: true });
  };
  const layer = (name) => () => change({ layer: name });
  const withTruth = (name) => () => model.truth && change({ layer: name });
  const opacity = (by) => () => change({ opacity: Math.min(Math.max(Math.round(10 * (state.opacity + by)) / 10, 0), 1) });
  return [
    ["←", "iteration back", { ArrowLeft: () => step(-1) }],
    ["→", "iteration on", { ArrowRight: () => step(1) }],
    ["Home", "the network alone", { Home: () => step(-Infinity) }],
    ["End", "the last iteration", { End: () => step(Infinity) }],
    ["Space", "play, stop", { " ": () => play(model, store) }],
    ["1 … 9", "choose a label", Object.fromEntries(model.names.slice(0, 9).map((_, n) => [n + 1, () => change({ label: n })]))],
    ["p b l d t m", "photo, belief, labels, difference, truth, mistakes", {
      p: layer("photo"), b: layer("belief"), l: layer("labels"), d: layer("difference"), t: withTruth("truth"), m: withTruth("mistakes"),
    }],
    ["r", "compare with this iteration from now on", { r: () => change({ reference: state.iteration, layer: "difference" }) }],
    ["[ ]", "opacity of the layer", { "[": opacity(-0.1), "]": opacity(0.1) }],
    ["Shift + arrows", "move the pixel, and freeze it", {
      "Shift ArrowLeft": () => move(-1, 0), "Shift ArrowRight": () => move(1, 0),
      "Shift ArrowUp": () => move(0, -1), "Shift ArrowDown": () => move(0, 1),
    }],
    ["f", "freeze the pixel, release it", { f: () => change({ frozen: !state.frozen }) }],
    ["Esc", "release the pixel", { Escape: () => change({ frozen: false }) }],
  ];
}

function listenToKeys(model, store) {
  const actions = {};
  for (const [names, purpose, bound] of keysOf(model, store)) {
    Object.assign(actions, bound);
    const item = document.createElement("li");
    item.append(...names.split(" ").flatMap((name) => (name === "…" || name === "+" ? [` ${name} `] : [key(name), " "])), purpose);
    $("keys").append(item);
  }
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    // Sliders and fields have keys of their own, and a button is pressed with the space bar.
    if (event.target.matches("input") || (event.target.matches("button, summary") && event.key === " ")) return;
    const action = actions[event.shiftKey && event.key.startsWith("Arrow") ? `Shift ${event.key}` : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
