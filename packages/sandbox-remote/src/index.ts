/** What this package will implement. The provider itself is not here yet. */
export type { SandboxProvider } from '@baton-sdk/core'
