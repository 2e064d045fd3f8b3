import type { Usage } from '../events/model-events.ts'
import type { Clock } from '../models/clock.ts'
import type { Model, ModelChunk, ModelErrorKind, ModelInfo, ModelRequest } from '../models/model.ts'
import { ModelError } from '../models/model.ts'

/** One reply of a fake model, piece by piece: a chunk to send, a time to wait in milliseconds, an error to throw, or a hang that no signal ends. */
export type FakeStep = ModelChunk | number | Error | 'hang'

/** A model in this process, for tests of what calls models. */
export interface FakeModel extends Model {
  /** What it was asked, in order. */
  readonly requests: readonly ModelRequest[]
  /** The signals it was called with. */
  readonly signals: readonly AbortSignal[]
  /** How many of its streams are open. */
  readonly open: number
}

/** Facts of a model that may and can take everything. */
export const ableInfo: ModelInfo = {
  contextWindow: 200_000,
  capabilities: { tools: true, images: true, jsonSchema: true, reasoning: true, fim: false },
  price: { input: 1, output: 10 },
  location: 'local',
}

/** A reply that says something and ends. */
export function saying(text: string, usage: Usage = { inputTokens: 100, outputTokens: 10 }): readonly FakeStep[] {
  return [
    { type: 'text', text },
    { type: 'finish', reason: 'stop', usage },
  ]
}

/** A call that fails at once. */
export function failing(kind: ModelErrorKind, retryAfterMs?: number): readonly FakeStep[] {
  return [new ModelError(kind, `fake ${kind}`, { retryAfterMs })]
}

/** Builds a {@link FakeModel} that answers its calls by these replies in turn; the last one is repeated. */
export function fakeModel(
  id: string,
  replies: readonly (readonly FakeStep[])[],
  { clock, info = {} }: { clock?: Clock; info?: Partial<ModelInfo> } = {},
): FakeModel {
  const requests: ModelRequest[] = []
  const signals: AbortSignal[] = []
  let open = 0
  return {
    id,
    info: { ...ableInfo, ...info },
    requests,
    signals,
    get open() {
      return open
    },
    generate(request, { signal }) {
      const steps = replies[Math.min(requests.length, replies.length - 1)] ?? []
      requests.push(request)
      if (signal) signals.push(signal)
      open += 1
      const rest = steps.values()
      let closed = false
      const close = () => {
        if (!closed) open -= 1
        closed = true
      }
      const next = async (): Promise<IteratorResult<ModelChunk>> => {
        for (const step of rest) {
          if (step === 'hang') await new Promise<never>(() => {})
          else if (typeof step === 'number') await new Promise<void>((resolve) => clock?.setTimer(resolve, step))
          else if (step instanceof Error) throw step
          else return { done: false, value: step }
        }
        close()
        return { done: true, value: undefined }
      }
      return {
        [Symbol.asyncIterator]: () => ({
          next,
          async return() {
            close()
            return { done: true, value: undefined }
          },
        }),
      }
    },
  }
}
