/** A linear fit of shares to figures, from sums that examples can be added to and taken out of. */
export interface LinearModel {
  /** Counts an example: `share` from 0 to 1, `figures` whole numbers. */
  add(figures: Float32Array, share: number): void
  /** Takes out one that was added. */
  remove(figures: Float32Array, share: number): void
  readonly examples: number
  /** The share to expect, from 0 to 1; undefined before the first example. */
  predict(figures: Float32Array): number | undefined
}

/** Draws the weights towards 0, as if so many examples had shown that a figure says nothing. */
const ridge = 30
/** Shares are summed as whole numbers of this fraction: sums stay exact, so the order of examples makes no difference. */
const unit = 2 ** 16

/** Builds a {@link LinearModel}: ridge regression on standardised figures (Hoerl and Kennard 1970), fitted again when it is asked after a change. */
export function createLinearModel(size: number): LinearModel {
  let examples = 0
  let shares = 0
  const sums = new Float64Array(size)
  const products = new Float64Array(size * size)
  const withShare = new Float64Array(size)
  let fitted: ((figures: Float32Array) => number) | undefined

  function count(figures: Float32Array, share: number, sign: 1 | -1): void {
    const units = Math.round(share * unit)
    examples += sign
    shares += sign * units
    for (let row = 0; row < size; row++) {
      const figure = sign * at(figures, row)
      sums[row] = at(sums, row) + figure
      withShare[row] = at(withShare, row) + figure * units
      for (let column = 0; column <= row; column++) {
        const place = row * size + column
        products[place] = at(products, place) + figure * at(figures, column)
      }
    }
    fitted = undefined
  }

  /** Normal equations of the standardised figures. A figure that is always the same has no weight. */
  function regress(): (figures: Float32Array) => number {
    const means = sums.map((sum) => sum / examples)
    const scales = means.map((mean, row) => Math.sqrt(Math.max(0, at(products, row * size + row) / examples - mean * mean)) || 1)
    const matrix = new Float64Array(size * size)
    const right = new Float64Array(size)
    for (let row = 0; row < size; row++) {
      right[row] = (at(withShare, row) - (at(sums, row) * shares) / examples) / unit / at(scales, row)
      for (let column = 0; column <= row; column++) {
        const covariance = at(products, row * size + column) - (at(sums, row) * at(sums, column)) / examples
        matrix[row * size + column] = covariance / at(scales, row) / at(scales, column) + (row === column ? ridge : 0)
      }
    }
    const weights = solve(matrix, right)
    return (figures) => {
      let value = shares / unit / examples
      for (let row = 0; row < size; row++) value += (at(weights, row) * (at(figures, row) - at(means, row))) / at(scales, row)
      return Math.max(0, Math.min(1, value))
    }
  }

  return {
    get examples() {
      return examples
    },
    add: (figures, share) => count(figures, share, 1),
    remove: (figures, share) => count(figures, share, -1),
    predict(figures) {
      if (examples === 0) return undefined
      fitted ??= regress()
      return fitted(figures)
    },
  }
}

/** Solves a positive definite system by Cholesky's method; of the matrix the lower half is read, and overwritten. */
function solve(matrix: Float64Array, right: Float64Array): Float64Array {
  const size = right.length
  for (let row = 0; row < size; row++) {
    for (let column = 0; column <= row; column++) {
      let value = at(matrix, row * size + column)
      for (let k = 0; k < column; k++) value -= at(matrix, row * size + k) * at(matrix, column * size + k)
      matrix[row * size + column] = row === column ? Math.sqrt(value) : value / at(matrix, column * size + column)
    }
  }
  const result = right.slice()
  for (let row = 0; row < size; row++) {
    for (let k = 0; k < row; k++) result[row] = at(result, row) - at(matrix, row * size + k) * at(result, k)
    result[row] = at(result, row) / at(matrix, row * size + row)
  }
  for (let row = size - 1; row >= 0; row--) {
    for (let k = row + 1; k < size; k++) result[row] = at(result, row) - at(matrix, k * size + row) * at(result, k)
    result[row] = at(result, row) / at(matrix, row * size + row)
  }
  return result
}

function at(values: Float64Array | Float32Array, place: number): number {
  return values[place] as number
}
