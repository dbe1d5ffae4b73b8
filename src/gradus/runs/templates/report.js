"use strict";
(async () => {
  const places = [...document.querySelectorAll("[data-figure]")];
  const openTables = () => {
    for (const place of places) {
      place.classList.add("empty");
      const numbers = place.parentElement.querySelector("details");
      if (numbers) numbers.open = true;
    }
  };
  // Browsers from before 2023 cannot unpack the drawing script: the numbers stand in for the figures.
  if (typeof DecompressionStream === "undefined") return openTables();
  try {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent.trim()), c => c.charCodeAt(0));
    const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.nonce = document.getElementById("draw").dataset.nonce;
    script.textContent = await new Response(plain).text();
    document.head.append(script);
  } catch (error) {
    console.warn("the figures could not be unpacked", error);
    return openTables();
  }
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const theme = narrow => {
    const css = getComputedStyle(document.documentElement);
    const colour = name => css.getPropertyValue(name).trim();
    const axis = {
      gridcolor: colour("--grid"), linecolor: colour("--line"), zerolinecolor: colour("--line"), automargin: true,
      title: { standoff: 8 },
    };
    const scale = dark.matches
      ? [[0, "#1b1f23"], [0.02, "#1f2c37"], [0.5, "#2f6a92"], [1, "#7fb8dd"]]
      : [[0, "#ffffff"], [0.02, "#e6eff5"], [0.5, "#7fb0d0"], [1, "#1f5f8b"]];
    return {
      layout: {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        font: { family: getComputedStyle(document.body).fontFamily, color: colour("--ink"), size: narrow ? 11 : 13 },
        colorway: dark.matches
          ? ["#7fb8dd", "#e0a458", "#9ac48a", "#d98fa9", "#b3a4e0", "#c9c3b5"]
          : ["#1f5f8b", "#b5651d", "#4b7f3c", "#a2415f", "#6a55b0", "#6d675b"],
        xaxis: axis, yaxis: axis, colorscale: { sequential: scale },
        margin: { l: narrow ? 44 : 60, r: 12, t: 24, b: 48 },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--line"), activecolor: colour("--accent") },
        legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
        hoverlabel: { bgcolor: colour("--sheet"), bordercolor: colour("--line"), font: { color: colour("--ink") } },
      },
      data: { heatmap: [{ colorscale: scale }] },
    };
  };

  const draw = async () => {
    for (const place of places) {
      const figure = figures[Number(place.dataset.figure)];
      const layout = { ...figure.layout, template: theme(place.clientWidth < 500), autosize: true };
      delete layout.width; // the page's width decides; the figure's own is an upper bound
      await Plotly.react(place, figure.data, layout, {
        displaylogo: false, responsive: true,
        modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
      });
    }
  };
  await draw();
  dark.addEventListener("change", draw);
})();
