// trunk copies uPlot.esm.js to /uplot. For `npm run check` alone, which takes it as it is.

declare const uPlot: any;
export default uPlot;
