import type { Model } from '@baton-sdk/core'
import type { ModelReply, Verdict, VerifyContext } from '@baton-sdk/core/plugin'

/** Judges replies for a cascade. */
export interface Verifier {
  /** Used in explanations, for example `schema`. */
  readonly name: string
  /** Models that it asks, in order of preference: their clearance and price are looked at before a cascade relies on it. Default: none. */
  readonly judges?: readonly Model[] | undefined
  /** Tokens that it has a judge read and write, beside the reply itself. Default: none. */
  readonly judgeTokens?: { readonly input: number; readonly output: number } | undefined
  /** What it throws counts as a no. */
  verify(reply: ModelReply, context: VerifyContext): Promise<Verdict>
}
