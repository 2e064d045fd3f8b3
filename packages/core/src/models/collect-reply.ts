import { messageOf } from '../errors.ts'
import type { OpaquePart, ProposedCall } from '../events/model-events.ts'
import { FinishReason, Usage } from '../events/model-events.ts'
import type { ModelChunk } from './model.ts'
import { ModelError } from './model.ts'

/** What a stream came to. */
export interface CollectedReply {
  readonly text: string
  readonly reasoning?: string | undefined
  readonly refusal?: string | undefined
  readonly opaque?: readonly OpaquePart[] | undefined
  /** In the order of their indexes. */
  readonly toolCalls: readonly ProposedCall[]
  readonly finishReason: FinishReason
  readonly usage?: Usage | undefined
}

/** Puts the pieces of one stream together. */
export interface ReplyCollector {
  /** Takes the next piece. Throws {@link ModelError} where the stream breaks its contract: a second `finish`, something after it, an unknown piece. */
  add(chunk: ModelChunk): void
  /** Whether `finish` came. */
  readonly finished: boolean
  /** Tokens, once `finish` told them. */
  readonly usage: Usage | undefined
  /** The stream ended. Throws {@link ModelError} `cut-stream` where `finish` is missing: a cut reply is never a short one. */
  end(): void
  /**
   * The reply as far as it came; the whole of it once `finished`.
   *
   * @param mintCallId - names the tool call at a place
   */
  reply(mintCallId: (index: number) => string): CollectedReply
}

interface CallDraft {
  id: string | undefined
  name: string | undefined
  arguments: string
}

/** Builds a {@link ReplyCollector}. `producer` is the model's id, kept with what only that model understands. */
export function createReplyCollector(producer: string): ReplyCollector {
  let text = ''
  let reasoning = ''
  let refusal = ''
  const opaque: OpaquePart[] = []
  const drafts = new Map<number, CallDraft>()
  let finish: { readonly reason: FinishReason; readonly usage: Usage | undefined } | undefined

  const take: { readonly [T in ModelChunk['type']]: (chunk: Extract<ModelChunk, { type: T }>) => void } = {
    text: (chunk) => {
      text += stringOf(chunk.text, producer)
    },
    reasoning: (chunk) => {
      reasoning += stringOf(chunk.text, producer)
    },
    refusal: (chunk) => {
      refusal += stringOf(chunk.text, producer)
    },
    opaque: (chunk) => {
      opaque.push({ producer, data: chunk.data })
    },
    'tool-call': (chunk) => addToDraft(drafts, chunk),
    finish: (chunk) => {
      const reason = FinishReason.safeParse(chunk.reason)
      // Counts that make no sense are the same as none: nothing may be billed by them.
      finish = { reason: reason.success ? reason.data : 'other', usage: chunk.usage && Usage.safeParse(chunk.usage).data }
    },
  }

  return {
    add(chunk) {
      const handler = take[chunk?.type] as ((chunk: ModelChunk) => void) | undefined
      if (!handler) throw brokenStream(producer, `a piece of unknown type ${JSON.stringify(chunk?.type)}`)
      if (finish)
        throw brokenStream(producer, chunk.type === 'finish' ? 'a second finish' : `a piece of type ${chunk.type} after its finish`)
      handler(chunk)
    },
    get finished() {
      return finish !== undefined
    },
    get usage() {
      return finish?.usage
    },
    end() {
      if (finish) return
      throw new ModelError('cut-stream', `The reply of ${producer} broke off before its end; what had arrived is not used.`, {
        details: { receivedCharacters: text.length + reasoning.length },
      })
    },
    reply(mintCallId) {
      const { reason, usage } = finish ?? { reason: 'other', usage: undefined }
      const cut = reason === 'length'
      return {
        text,
        ...(reasoning !== '' && { reasoning }),
        ...(refusal !== '' && { refusal }),
        ...(opaque.length > 0 && { opaque }),
        toolCalls: [...drafts.entries()]
          .sort(([first], [second]) => first - second)
          .map(([, draft], index) => callOf(draft, mintCallId(index), cut)),
        finishReason: reason,
        ...(usage && { usage }),
      }
    },
  }
}

function addToDraft(drafts: Map<number, CallDraft>, chunk: Extract<ModelChunk, { type: 'tool-call' }>): void {
  let draft = drafts.get(chunk.index)
  if (!draft) {
    draft = { id: undefined, name: undefined, arguments: '' }
    drafts.set(chunk.index, draft)
  }
  draft.id ||= chunk.id
  draft.name ||= chunk.name
  draft.arguments += chunk.arguments ?? ''
}

/** Arguments that are no JSON go to the model as an error that it can correct, so they are no failure of the reply. */
function callOf(draft: CallDraft, callId: string, cut: boolean): ProposedCall {
  const call = { callId, tool: draft.name ?? '', ...(draft.id && { providerCallId: draft.id }) }
  if (!draft.name) return { ...call, input: draft.arguments, malformed: 'the call names no tool' }
  if (draft.arguments.trim() === '') return { ...call, input: {} }
  try {
    return { ...call, input: JSON.parse(draft.arguments) as unknown }
  } catch (error) {
    const why = cut ? ', because the reply reached its limit of output tokens and was cut' : ''
    return { ...call, input: draft.arguments, malformed: `the arguments are no valid JSON${why}: ${messageOf(error)}` }
  }
}

function stringOf(value: unknown, producer: string): string {
  if (typeof value === 'string') return value
  throw brokenStream(producer, `a piece whose text is ${typeof value}`)
}

function brokenStream(producer: string, what: string): ModelError {
  return new ModelError(
    'server',
    `The stream of ${producer} sent ${what}, which breaks the contract of Model.generate; the reply is not used. Run testModel on this provider.`,
  )
}
