// How pages look, and whether everybody can use them.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Checks that axe-core finds nothing on the page. The page's own policy forbids scripts: open it with `bypassCSP`. */
export async function audit(page, name) {
  await page.evaluate(axe)
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run())
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).join(' ')}`)
  assert.deepEqual(found, [], `axe-core, on ${name}`)
  assert.ok(passes.length > 5, `axe-core has looked at nothing on ${name}`)
}

/** Keeps a picture of the page where `PICTURES` names a folder; what is `secret` on it is covered. */
export async function shoot(page, name, secret) {
  const folder = process.env.PICTURES
  if (!folder) return
  const scheme = await page.evaluate(() => (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'))
  const width = page.viewportSize().width
  const mask = secret ? [page.locator(secret)] : []
  await page.screenshot({ path: `${folder}/${name}-${scheme}-${width}.png`, fullPage: true, mask })
}
