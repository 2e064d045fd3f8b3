import type { Outcome } from '../outcome-index.ts'
import { createRandom } from './routing-trial.ts'

/** Two kinds of tasks: the small model is right on the one and wrong on the other, and the large one on both. */
const kinds = [
  { small: true, words: 'rename variable format import lint comment typo spelling heading indent label title'.split(' ') },
  { small: false, words: 'deadlock race thread mutex scheduler starvation atomic barrier semaphore queue lock fence'.split(' ') },
] as const

/** The text of a made-up task of a kind: eight of its words. */
export function madeUpTask(kind: 0 | 1, seed: number): string {
  const random = createRandom(seed)
  const { words } = kinds[kind]
  return Array.from({ length: 8 }, () => words[Math.floor(random() * words.length)]).join(' ')
}

/** Outcomes of both models on so many made-up tasks of either kind. */
export function madeUpOutcomes(count: number): Outcome[] {
  return Array.from({ length: count }, (_, at): Outcome[] => {
    const kind = at % 2 === 0 ? 0 : 1
    const text = madeUpTask(kind, at)
    return [
      { text, model: 'small', success: kinds[kind].small },
      { text, model: 'large', success: true },
    ]
  }).flat()
}
