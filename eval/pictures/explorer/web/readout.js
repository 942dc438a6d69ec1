// What a script can read from the page: numbers, by names and pixels. `explorer.ready` resolves once they are there.

function makeReadout(model, store, lab) {
  const at = (x, y) => y * model.width + x;
  const named = (name) => {
    const label = name === "others" ? model.others : model.names.indexOf(name);
    if (label < 0) throw new Error(`no label ${name} is shown; shown are ${model.names.join(", ")}`);
    return label;
  };
  return {
    state: () => ({ ...store.state, x: store.state.pixel % model.width, y: Math.floor(store.state.pixel / model.width), label: model.names[store.state.label] }),
    settled: store.settled,
    labels: () => [...model.names],
    belief: (name, t, x, y) => model.belief(named(name), t, at(x, y)),
    split: (name, t, x, y) => model.split(named(name), t, at(x, y)),
    label: (t, x, y) => model.nameOf(model.labels[t][at(x, y)]),
    kernel: (m, x, y) => lookAt(model, m, at(x, y)).row,
    senders: (name, t, x, y) =>
      senders(model, model.crf.kernels.map((_, m) => lookAt(model, m, at(x, y))), t, named(name)).map(({ sender, kernels }) => ({
        label: sender === model.others ? "others" : model.names[sender], kernels,
      })),
    thumbnail: () => ({ width: model.thumbnail.width, height: model.thumbnail.height }),
    settings: () => structuredClone(lab.settings),
    meanField: async (settings) => (await lab.run(settings)).beliefs.map((plane) => Array.from(plane)),
    labReady: lab.ready,
  };
}

window.explorer = { ready: null };
window.explorer.ready = (async () => {
  const model = await readModel(JSON.parse($("data").textContent));
  const styles = stylesOf(model);
  const store = makeStore(model);
  listen(model, styles, store);
  listenToKeys(model, store);
  makeViews(model, styles, store);
  const lab = makeLab(model, styles, store);
  store.change({});
  await store.settled();
  Object.assign(window.explorer, makeReadout(model, store, lab));
  document.body.classList.add("ready");
})();
