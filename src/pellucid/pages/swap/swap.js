// Swaps pictures that were loaded while their cutouts were pending. <script async src="https://SERVER/-/swap.js"></script>
// What is pending, the pictures' own Server-Timing says; browsers that do not tell ask for every bg_remove picture.
(() => {
  const base = new URL(document.currentScript.src).origin, wanted = new Map();
  let source, timer;
  const fresh = url => url + "&bg_pending=original";
  const swap = url => {
    for (const img of wanted.get(url) || []) {
      if (img.srcset) img.srcset = img.srcset.replaceAll(url, fresh(url));
      img.src = img.src === url || !img.srcset ? fresh(url) : img.src;
    }
    wanted.delete(url);
  };
  const listen = () => {
    source?.close();
    const urls = [...wanted.keys()].slice(0, 100);
    if (!urls.length) return;
    source = new EventSource(base + "/-/events?" + urls.map(u => "url=" + encodeURIComponent(u.slice(base.length))).join("&"));
    const done = event => {
      const { asked, state } = JSON.parse(event.data);
      if (state === "ready") swap(base + asked); else wanted.delete(base + asked);
      if (!wanted.size) source.close();
    };
    for (const state of ["ready", "failed", "no-subject", "no-credits", "problem"]) source.addEventListener(state, done);
  };
  new PerformanceObserver(list => {
    for (const { name, initiatorType, serverTiming } of list.getEntries()) {
      if (initiatorType !== "img" || !name.startsWith(base) || !/[?&]bg_remove=1/.test(name)) continue;
      if (serverTiming && !serverTiming.some(t => t.name === "cutout" && /pending|busy|stale/.test(t.description))) continue;
      const images = [...document.images].filter(img => (img.currentSrc || img.src) === name);
      if (images.length && !/bg_pending=original$/.test(name)) wanted.set(name, images);
    }
    clearTimeout(timer);
    timer = setTimeout(listen, 200);
  }).observe({ type: "resource", buffered: true });
})();
