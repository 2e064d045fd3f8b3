import type { TableEntry } from './outcome-table.ts'

/** A text and how near it is. */
export interface Neighbour {
  readonly entry: TableEntry
  readonly nearness: number
}

/** Keeps the nearest of the texts it is shown. Equally near ones go by key, so that the order in which they come makes no difference. */
export interface Neighbours {
  offer(entry: TableEntry, nearness: number): void
  /** Nearest first. */
  sorted(): Neighbour[]
}

/** Builds {@link Neighbours} for the nearest `count`: a heap with the farthest of them on top. */
export function createNeighbours(count: number): Neighbours {
  const heap: Neighbour[] = []

  function sink(): void {
    const moving = heap[0] as Neighbour
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      const [left, right] = [heap[child], heap[child + 1]]
      if (!left) break
      if (right && farther(right, left)) child++
      const below = heap[child] as Neighbour
      if (!farther(below, moving)) break
      heap[at] = below
      at = child
    }
    heap[at] = moving
  }

  function rise(): void {
    let at = heap.length - 1
    const moving = heap[at] as Neighbour
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as Neighbour
      if (!farther(moving, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = moving
  }

  return {
    offer(entry, nearness) {
      if (heap.length < count) {
        heap.push({ entry, nearness })
        rise()
        return
      }
      const top = heap[0] as Neighbour
      if (nearness < top.nearness || (nearness === top.nearness && entry.key > top.entry.key)) return
      heap[0] = { entry, nearness }
      sink()
    },
    sorted: () => [...heap].sort((a, b) => (farther(a, b) ? 1 : -1)),
  }
}

function farther(one: Neighbour, other: Neighbour): boolean {
  return one.nearness === other.nearness ? one.entry.key > other.entry.key : one.nearness < other.nearness
}
