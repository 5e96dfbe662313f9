import { facts, run } from './support/parts.mjs'
import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { backIn, browse, decide, fits, isProtected, MAIL, openClient, request, signIn, SMALL, startApp } from './support/chromium.mjs'
import { openMailbox } from './support/mailbox.mjs'
import { prepareProvider, PROVIDER, startProvider } from './support/provider.mjs'

const [alice, bob] = facts.users
const stranger = { login: 'mallory@elsewhere.example', password: alice.password }
const REFUSED = /the server responded with a status of 422/
const STALE = /the server responded with a status of 400/
const AWAY = /the server responded with a status of 503/

/** Presses the button of the sign-in page that leads to the provider. */
const leave = (page) => page.locator('form[action="/oauth/outside"] button').click()
const atProvider = (page) => page.waitForURL((url) => url.href.startsWith(`${PROVIDER}/interaction/`))
const main = (page) => page.locator('main').innerText()
const allowButton = (page) => page.locator('button[value=allow]')

/** From the sign-in page through the provider to the consent page. */
async function signInOutside(page, user) {
  await leave(page)
  await atProvider(page)
  await signIn(page, user)
  await allowButton(page).waitFor()
  assert.ok((await main(page)).includes(user.login))
}

/** Allows, and opens the mailbox. */
async function finish(page, app, exchange, { login } = alice) {
  await decide(page, 'allow')
  return openMailbox((await exchange(await backIn(app, page))).access_token, login)
}

/** The page with the reason why nobody was signed in, from which one may try again. */
async function isRefused(page, reason) {
  assert.match(await page.getByRole('alert').innerText(), reason)
  assert.equal(new URL(page.url()).origin, facts.issuer)
  assert.equal(await allowButton(page).count(), 0)
}

await run({
  async sign_in() {
    await startProvider()
    const app = await startApp()
    const { url, exchange } = await request(app, { login_hint: alice.login })
    await browse(
      async (page, context) => {
        await isProtected(await page.goto(url))
        assert.equal(await page.locator('input[type=password]').count(), 0)
        await leave(page)
        await atProvider(page)
        assert.equal(await page.locator('input[name=login]').inputValue(), alice.login)
        const callback = page.waitForResponse((answer) => answer.url().startsWith(`${facts.issuer}/oauth/callback?`))
        await signIn(page, alice)
        await isProtected(await callback)
        await allowButton(page).waitFor()
        assert.ok((await main(page)).includes(alice.login))
        assert.ok((await finish(page, app, exchange)) > 0)
        // The way back leads through what was used up, and shows nothing to agree to.
        await page.goBack().catch((error) => assert.match(String(error), /ERR_CACHE_MISS/))
        await page.goto((await callback).url())
        assert.match(await main(page), /out of date/)
        assert.equal(await allowButton(page).count(), 0)
        // Nor does it to somebody else who learned the address.
        const other = await (await context.browser().newContext()).newPage()
        assert.equal((await other.goto((await callback).url())).status(), 400)
      },
      { expected: STALE, tolerated: /ERR_CACHE_MISS/ },
    )
    assert.equal(app.answers.length, 1)
  },

  async cancel() {
    await startProvider()
    const app = await startApp()
    const { url, exchange } = await request(app)
    await browse(
      async (page) => {
        await page.goto(url)
        await leave(page)
        await atProvider(page)
        await page.locator('button[name=cancel]').click()
        await isRefused(page, /Outside did not sign you in. You can try again/)
        await signInOutside(page, alice)
        await finish(page, app, exchange)
      },
      { expected: REFUSED },
    )
  },

  async wrong_account() {
    const tell = await startProvider()
    await tell('select_account')
    const app = await startApp()
    const { url, exchange } = await request(app)
    await browse(
      async (page) => {
        await page.goto(url)
        const texts = []
        for (const login of [stranger.login, 'unverified@example.org']) {
          await leave(page)
          await atProvider(page)
          await signIn(page, { ...stranger, login })
          await isRefused(page, /has no mailbox here/)
          const text = await page.locator('html').innerText()
          assert.ok(!text.includes('@'), `the page names somebody: ${text}`)
          texts.push(text)
        }
        assert.equal(texts[0], texts[1])
        // They are signed in there with the wrong account: another try must not end where the first did.
        await signInOutside(page, alice)
        await finish(page, app, exchange)
      },
      { expected: REFUSED },
    )
  },

  /** The provider refuses the first way to ask for another account. */
  async wrong_account_without_a_choice() {
    await startProvider()
    const app = await startApp()
    const { url, exchange } = await request(app)
    await browse(
      async (page) => {
        await page.goto(url)
        await leave(page)
        await atProvider(page)
        await signIn(page, stranger)
        await isRefused(page, /has no mailbox here/)
        await leave(page)
        await page.getByText('Outside did not sign you in. You can try again').waitFor()
        await signInOutside(page, alice)
        await finish(page, app, exchange)
      },
      { expected: REFUSED },
    )
  },

  async two_tabs() {
    await startProvider()
    const apps = [await startApp(), await startApp()]
    const requests = [await request(apps[0]), await request(apps[1], { prompt: 'login' })]
    await browse(async (page, context) => {
      const pages = [page, await context.newPage()]
      for (const [at, tab] of pages.entries()) {
        await tab.goto(requests[at].url)
        await leave(tab)
        await atProvider(tab)
      }
      // The second comes back first, and is somebody else.
      await signIn(pages[1], bob)
      await allowButton(pages[1]).waitFor()
      await pages[0].goto(requests[0].url)
      await leave(pages[0])
      await allowButton(pages[0]).waitFor()
      assert.ok((await main(pages[0])).includes(bob.login), 'signed in there already')
      const third = await request(apps[0], { prompt: 'login' })
      await pages[0].goto(third.url)
      await signInOutside(pages[0], alice)
      assert.ok((await main(pages[1])).includes(bob.login))
      await finish(pages[1], apps[1], requests[1].exchange, bob)
      await finish(pages[0], apps[0], third.exchange, alice)
      assert.notEqual(requests[1].state, third.state)
    })
    assert.deepEqual(apps.map((app) => app.answers.length), [1, 1])
  },

  async provider_down() {
    const tell = await prepareProvider()
    const app = await startApp()
    const { url, exchange } = await request(app)
    await browse(
      async (page) => {
        await page.goto(url)
        await leave(page)
        await isRefused(page, /Outside cannot be reached right now/)
        await tell('start')
        // It is looked at again after a while.
        for (const deadline = Date.now() + 20_000; Date.now() < deadline; await page.waitForTimeout(500)) {
          await leave(page)
          await page.waitForLoadState()
          if (page.url().startsWith(PROVIDER)) break
        }
        await atProvider(page)
        // It goes away while the person is on the way back.
        await tell('hang_up', true)
        await signIn(page, alice)
        await isRefused(page, /Outside cannot be reached right now/)
        await tell('hang_up', false)
        await leave(page)
        await allowButton(page).waitFor()
        await finish(page, app, exchange)
      },
      { expected: AWAY },
    )
    assert.equal(app.answers.length, 1)
  },

  async device() {
    await startProvider()
    const config = await openClient()
    const device = await client.initiateDeviceAuthorization(config, { scope: MAIL })
    const polled = client.pollDeviceAuthorizationGrant(config, device)
    await browse(async (page) => {
      await page.goto(device.verification_uri_complete)
      await page.locator('button[type=submit]').click()
      await signInOutside(page, alice)
      assert.ok((await main(page)).includes(device.user_code))
      await decide(page, 'allow')
      await page.getByRole('status').waitFor()
    })
    await openMailbox((await polled).access_token)
  },

  async who_must_sign_in_anew() {
    await startProvider()
    const app = await startApp()
    await browse(async (page) => {
      const first = await request(app)
      await page.goto(first.url)
      await signInOutside(page, alice)
      await finish(page, app, first.exchange)
      await page.waitForTimeout(2_100)
      for (const [more, isAsked] of [
        [{}, false],
        [{ max_age: '600' }, false],
        [{ max_age: '1' }, true],
        [{ prompt: 'login' }, true],
      ]) {
        const { url, exchange } = await request(app, more)
        await page.goto(url)
        if (isAsked) await signInOutside(page, alice)
        else await leave(page)
        await finish(page, app, exchange)
      }
    })
    assert.equal(app.answers.length, 5)
  },

  async small_screen() {
    await startProvider()
    const { url } = await request(await startApp())
    await browse(
      async (page) => {
        await page.goto(url)
        await fits(page)
        await leave(page)
        await atProvider(page)
        await signIn(page, stranger)
        await isRefused(page, /has no mailbox here/)
        await fits(page)
      },
      { ...SMALL, expected: REFUSED },
    )
  },
})
