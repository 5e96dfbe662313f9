// What a script is told, and how its parts are run. Import this first: Node.js 18 keeps Web Crypto out of its globals.
import { webcrypto } from 'node:crypto'

globalThis.crypto ??= webcrypto

/** The document of `bearward try --json`, and `clients`: those that were made on the command line. */
export const facts = JSON.parse(process.env.FACTS)

/** Runs the part that the command line names. */
export async function run(parts) {
  const part = parts[process.argv[2]]
  if (!part) {
    console.error(`there is no part ${process.argv[2]}; the parts are ${Object.keys(parts).join(', ')}`)
    process.exit(2)
  }
  try {
    await part()
  } catch (error) {
    console.error(error)
    // Libraries put the server's answer here.
    for (let cause = error?.cause; cause; cause = cause?.cause) console.error('caused by', cause)
    process.exit(1)
  }
  console.log('done')
  process.exit(0)
}
