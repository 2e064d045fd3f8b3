/** Calculations that a text states: how many, and how many of them are wrong. */
export interface EquationCount {
  readonly stated: number
  readonly wrong: number
  /** What the last one comes to, as the text states it. */
  readonly lastResult: number | undefined
}

// Each match begins where the one before it ended, and none looks back: a text of any kind is read in one go.
const item = /\d+(?:,\d{3})*(?:\.\d+)?%?|\p{L}+|[^\s$€£]|\n/gu
const operators: Readonly<Record<string, string>> = { x: '*', X: '*', '×': '*', '·': '*', '÷': '/' }
/** A calculation of more items than this is not looked at. */
const longest = 64
/** A result may be rounded to cents, or to half a percent of itself. */
const tolerance = { absolute: 0.006, relative: 0.005 }

/** Finds calculations such as `4 x $2.50 = $10` in a text and works them out again. */
export function countEquations(text: string): EquationCount {
  let [stated, wrong] = [0, 0]
  let lastResult: number | undefined
  let run: string[] = []
  let value: number | undefined
  let sign = 1
  for (const [found] of text.matchAll(item)) {
    const part = operators[found] ?? found
    if (value !== undefined && part === '-' && run.length === 0) {
      sign = -1
      continue
    }
    if (value !== undefined && run.length === 0 && isNumber(part)) {
      lastResult = sign * numberOf(part)
      stated++
      if (Math.abs(value - lastResult) > Math.max(tolerance.absolute, tolerance.relative * Math.abs(value))) wrong++
    }
    value = part === '=' && run.length > 1 && run.length <= longest ? work(run) : undefined
    sign = 1
    if (!isNumber(part) && !/^[-+*/()]$/.test(part)) run = []
    else if (run.length <= longest) run.push(part)
  }
  return { stated, wrong, lastResult }
}

/** Works out sums, products and brackets; undefined for what is no calculation, and for a result that is not finite. */
function work(items: readonly string[]): number | undefined {
  let at = 0

  function sum(): number {
    let value = product()
    while (items[at] === '+' || items[at] === '-') value = items[at++] === '+' ? value + product() : value - product()
    return value
  }
  function product(): number {
    let value = factor()
    while (items[at] === '*' || items[at] === '/') value = items[at++] === '*' ? value * factor() : value / factor()
    return value
  }
  function factor(): number {
    const part = items[at++]
    if (part === '-') return -factor()
    if (part !== '(') return part !== undefined && isNumber(part) ? numberOf(part) : Number.NaN
    const value = sum()
    return items[at++] === ')' ? value : Number.NaN
  }

  const value = sum()
  return at === items.length && Number.isFinite(value) ? value : undefined
}

function isNumber(part: string): boolean {
  return /^\d/.test(part)
}

/** The value of a number as people write it: `1,200`, `2.50`, `15%`. */
export function numberOf(part: string): number {
  const plain = part.replaceAll(',', '')
  return plain.endsWith('%') ? Number(plain.slice(0, -1)) / 100 : Number(plain)
}
