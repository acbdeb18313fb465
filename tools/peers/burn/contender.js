// @ts-check
// tools/stock-burn: everything in burn's own operations.

import init, { Contender } from "/built/burn/stock_burn.js";
import { asked } from "../asked.js";

Object.assign(globalThis, { contender: asked(init().then(() => Contender.open())) });
