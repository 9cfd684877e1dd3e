// What is wrong with the page that the browser shows, as a list of sentences; see test_docs_browser.py.
const wrong = new Set();

const visible = (element) =>
  element.checkVisibility({ opacityProperty: true, visibilityProperty: true });

const named = (element) => {
  const text = (element.textContent || element.alt || "").trim().replace(/\s+/g, " ");
  return `<${element.tagName.toLowerCase()}> ${JSON.stringify(text.slice(0, 40))}`;
};

// The ancestor in whose box a wide element scrolls, if there is one. The theme lets the whole content
// scroll on narrow windows, which counts as the page itself.
const content = document.querySelector(".content");
function scroller(element) {
  for (let e = element; e && e !== content; e = e.parentElement) {
    if (["auto", "scroll"].includes(getComputedStyle(e).overflowX)) return e;
  }
  return null;
}

// The page as a whole does not scroll sideways.
const page = document.documentElement;
for (const box of [page, content]) {
  const excess = box.scrollWidth - box.clientWidth;
  if (excess <= 0) continue;
  const edge = box.getBoundingClientRect().left + box.clientWidth;
  const wide = [...document.querySelectorAll("article *")].findLast(
    (e) => e.getBoundingClientRect().right > edge + 0.5 && !scroller(e)
  );
  wrong.add(`the page is ${excess} px wider than the window${wide ? `: ${named(wide)}` : ""}`);
}

// Equations are drawn, and no box cuts a part off that cannot be scrolled to.
for (const math of document.querySelectorAll("article math")) {
  if (!visible(math)) continue;
  const { width, height } = math.getBoundingClientRect();
  if (width < 4 || height < 4) wrong.add(`an equation has no size: ${named(math)}`);
  const parts = [math, ...math.querySelectorAll("*")].map((e) => e.getBoundingClientRect());
  const [left, right, top, bottom] = [
    Math.min(...parts.map((r) => r.left)),
    Math.max(...parts.map((r) => r.right)),
    Math.min(...parts.map((r) => r.top)),
    Math.max(...parts.map((r) => r.bottom)),
  ];
  const box = scroller(math) ?? content;
  const edges = box.getBoundingClientRect();
  const start = edges.left - box.scrollLeft;
  if (left < start - 1 || right > start + box.scrollWidth + 1)
    wrong.add(`an equation is cut at a side: ${named(math)}`);
  if (box !== content && (top < edges.top - 1 || bottom > edges.top + box.clientHeight + 1))
    wrong.add(`an equation is cut above or below: ${named(math)}`);
}

for (const image of document.images) {
  if (!image.naturalWidth) wrong.add(`a picture is missing: ${image.getAttribute("src")}`);
}

// Text has the contrast with its background that WCAG 2 asks for (level AA).
const channels = (css) => {
  const [r, g, b, a = 1] = css.match(/[\d.]+/g).map(Number);
  return css.startsWith("color(") ? [255 * r, 255 * g, 255 * b, a] : [r, g, b, a];
};
const over = ([r, g, b, a], [R, G, B]) => [
  a * r + (1 - a) * R,
  a * g + (1 - a) * G,
  a * b + (1 - a) * B,
];
const luminance = (color) => {
  const [r, g, b] = color.map((c) =>
    c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4
  );
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const backgrounds = new Map();
function background(element) {
  if (!element) return [255, 255, 255];
  if (!backgrounds.has(element)) {
    const own = channels(getComputedStyle(element).backgroundColor);
    backgrounds.set(element, own[3] === 1 ? own : over(own, background(element.parentElement)));
  }
  return backgrounds.get(element);
}

const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const seen = new Set();
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (seen.has(element) || !texts.currentNode.data.trim()) continue;
  seen.add(element);
  if (element.closest("script, style, noscript, template") || !visible(element)) continue;
  const style = getComputedStyle(element);
  const behind = background(element);
  const color = over(channels(style.color), behind);
  const [low, high] = [luminance(color), luminance(behind)].sort((a, b) => a - b);
  const ratio = (high + 0.05) / (low + 0.05);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  if (ratio < (large ? 3 : 4.5))
    wrong.add(`contrast of ${ratio.toFixed(1)}, ${style.color} on ${behind}: ${named(element)}`);
}

return [...wrong];
