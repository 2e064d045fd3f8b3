import type { ModelReply, Verdict, VerifyContext } from '@baton-sdk/core/plugin'
import type { Verifier } from './verifier.ts'

/** Judges replies with a function of one's own: features of the answer, a parser, a quick compile. What it throws counts as a no. */
export function acceptIf(
  judge: (reply: ModelReply, context: VerifyContext) => boolean | Verdict | Promise<boolean | Verdict>,
  options: { readonly name?: string | undefined } = {},
): Verifier {
  return {
    name: options.name ?? (judge.name || 'function'),
    async verify(reply, context) {
      const verdict = await judge(reply, context)
      return typeof verdict === 'boolean' ? { accepted: verdict } : verdict
    },
  }
}
