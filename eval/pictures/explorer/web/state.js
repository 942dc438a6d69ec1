// What the reader looks at. `change` is the only way to alter it; the page is drawn once, before the next frame.

function makeStore(model) {
  const state = {
    iteration: model.iterations, reference: 0, label: 0, layer: "labels", opacity: 0.7,
    pixel: mostChanged(model), frozen: false, playing: false,
  };
  state.label = Math.min(model.place(model.labels[model.iterations][state.pixel]), model.names.length - 1);
  const views = [];
  let planned = null;
  const draw = () => {
    planned = null;
    for (const view of views) view(state);
  };
  return {
    state,
    watch: (view) => views.push(view),
    change(changes) {
      Object.assign(state, changes);
      planned ??= requestAnimationFrame(draw);
    },
    settled: () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve))),
  };
}

// A view that is drawn only where something it reads has changed.
function unlessSame(keys, view) {
  let last = null;
  return (state) => {
    const now = keys.map((key) => state[key]).join(" ");
    if (now === last) return;
    last = now;
    view(state);
  };
}
