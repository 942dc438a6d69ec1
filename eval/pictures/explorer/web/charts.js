// Curves, waterfalls and bars of one pixel, as SVG.

const svg = (width, height, title, body) =>
  `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(title)}">${body.join("")}</svg>`;
const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const words = (x, y, text, more = "") => `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escaped(text)}</text>`;
const line = (x1, y1, x2, y2, more) =>
  `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" ${more}/>`;
const signed = (value) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(2);

// Textures of the kernels: solid, striped, dotted, in gray, since colors stand for labels.
const TEXTURES =
  '<defs><pattern id="kernel1" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="5" height="5" fill="#fff"/><rect width="2.6" height="5" fill="#333"/></pattern>' +
  '<pattern id="kernel2" width="5" height="5" patternUnits="userSpaceOnUse"><rect width="5" height="5" fill="#fff"/><circle cx="2.5" cy="2.5" r="1.5" fill="#333"/></pattern></defs>';
const texture = (m) => (m % 3 === 0 ? "#777" : `url(#kernel${m % 3})`);

// Beliefs of one pixel over all iterations: a curve per label with its name at the end.
function beliefCurves(model, styles, state) {
  const width = 560, height = 215, left = 34, right = 174, top = 10, bottom = 32;
  const x = (t) => left + (t / Math.max(model.iterations, 1)) * (width - left - right);
  const y = (belief) => height - bottom - belief * (height - top - bottom);
  const body = [0, 0.25, 0.5, 0.75, 1].map(
    (b) => line(left, y(b), width - right, y(b), 'stroke="#e4e4e4"') + words(left - 6, y(b) + 4, b, 'text-anchor="end"'),
  );
  const every = Math.ceil((model.iterations + 1) / 12);
  for (let t = 0; t <= model.iterations; t += every) body.push(words(x(t), height - 15, t, 'text-anchor="middle"'));
  body.push(words((left + width - right) / 2, height - 2, "iteration (0: the network alone)", 'text-anchor="middle"'));
  body.push(line(x(state.iteration), top, x(state.iteration), height - bottom, 'stroke="#000" stroke-width="1.2"'));
  const labels = styles.slice(0, model.complete ? -1 : undefined);
  const ends = labels.map((style, label) => ({ label, style, at: y(model.belief(label, model.iterations, state.pixel)) }));
  spread(ends, 15, height - bottom + 4);
  for (const { label, style, at } of ends) {
    const points = Array.from({ length: model.iterations + 1 }, (_, t) => [x(t), y(model.belief(label, t, state.pixel))]);
    const path = points.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(" ");
    const chosen = label === state.label;
    const stroke = `stroke="${css(style.color)}" stroke-dasharray="${style.dash}" stroke-width="${chosen ? 3.2 : 1.8}"`;
    body.push(`<polyline points="${path}" fill="none" ${stroke}/>`);
    const [px, py] = points[state.iteration];
    body.push(words(px, py + 4, style.mark, `text-anchor="middle" fill="${css(style.color)}" class="mark"`));
    const value = model.belief(label, state.iteration, state.pixel).toFixed(2);
    body.push(line(width - right + 2, points.at(-1)[1], width - right + 12, at, `stroke="${css(style.color)}"`));
    const weight = chosen ? 'font-weight="700"' : "";
    body.push(words(width - right + 15, at + 4, `${style.mark} ${style.name} ${value}`, `fill="${css(style.color)}" ${weight}`));
  }
  return svg(width, height, "beliefs of the pixel over the iterations", body);
}

// Moves the ends of curves apart where their names would overlap.
function spread(ends, gap, lowest) {
  const order = [...ends].sort((one, other) => one.at - other.at);
  order.forEach((end, n) => (end.at = Math.max(end.at, n ? order[n - 1].at + gap : 8)));
  for (let n = order.length - 1, limit = lowest; n >= 0; n--, limit = order[n + 1].at - gap) order[n].at = Math.min(order[n].at, limit);
}

// The logit of every shown label: the unary, less what each kernel charges.
function logitSplit(model, styles, state) {
  const splits = model.names.map((_, label) => model.split(label, state.iteration, state.pixel));
  const values = splits.flatMap(({ unary, logit }) => [0, unary, logit]);
  const low = Math.min(...values), high = Math.max(...values, low + 1);
  const width = 560, left = 132, right = 178, row = 40;
  const x = (value) => left + ((value - low) / (high - low)) * (width - left - right);
  const body = [TEXTURES, line(x(0), 0, x(0), row * splits.length, 'stroke="#999"')];
  splits.forEach(({ unary, penalties, logit }, label) => {
    const top = row * label + 5, thick = 26 / (penalties.length + 1);
    const style = styles[label];
    const weight = label === state.label ? 'font-weight="700"' : "";
    body.push(words(left - 8, top + 18, `${style.mark} ${style.name}`, `text-anchor="end" fill="${css(style.color)}" ${weight}`));
    const bar = (from, to, n, fill) =>
      `<rect x="${Math.min(x(from), x(to)).toFixed(1)}" y="${(top + n * thick).toFixed(1)}" width="${Math.max(Math.abs(x(to) - x(from)), 0.5).toFixed(1)}" height="${(thick - 1).toFixed(1)}" fill="${fill}" stroke="#333" stroke-width=".6"/>`;
    body.push(bar(0, unary, 0, css(style.color)));
    let rest = unary;
    penalties.forEach((penalty, m) => body.push(bar(rest, (rest -= penalty), m + 1, texture(m))));
    body.push(line(x(logit), top - 2, x(logit), top + 28, 'stroke="#000" stroke-width="2.5"'));
    const sum = [signed(unary), ...penalties.map((p) => (p < 0 ? "+ " : "− ") + Math.abs(p).toFixed(2))].join(" ");
    body.push(words(width - right + 10, top + 11, sum));
    body.push(words(width - right + 10, top + 26, `= ${signed(logit)}`, 'font-weight="700"'));
  });
  return svg(width, row * splits.length + 2, "logits of the pixel: unary less penalties", body);
}

// Who charged the chosen label how much: bars per label, made of the kernels.
function senderBars(model, styles, state, charged) {
  const width = 560, left = 132, right = 60, row = 26;
  const most = Math.max(...charged.map(({ total }) => Math.abs(total)), 0.1);
  const body = [TEXTURES];
  charged.forEach(({ sender, kernels, total }, n) => {
    const style = styles[sender];
    body.push(words(left - 8, row * n + 17, `${style.mark} ${style.name}`, `text-anchor="end" fill="${css(style.color)}"`));
    let x = left;
    kernels.forEach((each, m) => {
      const long = (Math.abs(each) / most) * (width - left - right - 4);
      body.push(`<rect x="${x.toFixed(1)}" y="${row * n + 4}" width="${long.toFixed(1)}" height="18" fill="${texture(m)}" stroke="#333" stroke-width=".6"/>`);
      x += long;
    });
    body.push(words(x + 6, row * n + 17, signed(total)));
  });
  return svg(width, row * charged.length + 2, "penalty by the labels that sent it", body);
}

const kernelLegend = (model) =>
  model.crf.kernels
    .map((kernel, m) => `<span><svg viewBox="0 0 18 12" class="key">${TEXTURES}<rect width="18" height="12" fill="${texture(m)}" stroke="#333"/></svg> ${escaped(kernel.name)}</span>`)
    .join("");
