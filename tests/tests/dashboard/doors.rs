//! The dashboard's doors: who gets in, to what, from where and for how long.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::{Deployment, Mode};
use harness::suite::Scenario;
use harness::wait::eventually;
use reqwest::Method;
use reqwest::header::{COOKIE, LOCATION, ORIGIN};
use serde_json::{Value, json};

use crate::visitor::{Browser, a_message, portal};

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        a_portal_session_opens_one_account_and_no_other,
        a_portal_session_ends_with_its_time,
        a_session_ends_with_its_key,
        who_signs_in_again_goes_on_where_they_were,
        a_form_of_another_site_is_refused,
        pages_run_nothing_but_our_own_files,
        only_a_customers_pages_may_be_framed,
        the_operators_pages_are_closed_to_others,
        an_operator_gives_it_a_name_a_logo_and_a_colour,
    ]
}

/// Every address of an account's pages; `{id}` and `{attempt}` are filled in.
const ROUTES: [(&str, &str); 30] = [
    ("GET", ""),
    ("GET", "/webhooks"),
    ("GET", "/webhooks/new"),
    ("POST", "/webhooks/new"),
    ("GET", "/webhooks/{id}"),
    ("POST", "/webhooks/{id}"),
    ("GET", "/webhooks/{id}/regenerate-secret"),
    ("POST", "/webhooks/{id}/regenerate-secret"),
    ("GET", "/webhooks/{id}/delete"),
    ("POST", "/webhooks/{id}/delete"),
    ("POST", "/webhooks/{id}/challenge"),
    ("POST", "/webhooks/{id}/enable"),
    ("POST", "/webhooks/{id}/disable"),
    ("GET", "/webhooks/{id}/test"),
    ("POST", "/webhooks/{id}/test"),
    ("GET", "/webhooks/{id}/messages"),
    ("GET", "/webhooks/{id}/messages/live"),
    ("GET", "/webhooks/{id}/verify"),
    ("POST", "/webhooks/{id}/verify"),
    ("GET", "/webhooks/{id}/recover"),
    ("POST", "/webhooks/{id}/recover"),
    ("GET", "/attempts/{id}"),
    ("POST", "/attempts/{id}/resend"),
    ("GET", "/events/{id}"),
    ("POST", "/events/{id}/resend"),
    ("GET", "/recoveries/{id}"),
    ("POST", "/recoveries/{id}/cancel"),
    ("GET", "/search"),
    ("GET", "/event-types"),
    ("GET", "/audit-log"),
];

/// Those of the operator alone.
const OPERATORS: [(&str, &str); 8] = [
    ("GET", "/accounts"),
    ("GET", "/fleet"),
    ("GET", "/audit-log"),
    ("GET", "/keys"),
    ("GET", "/keys/new"),
    ("POST", "/keys/new"),
    ("GET", "/keys/{id}/revoke"),
    ("POST", "/keys/{id}/revoke"),
];

async fn a_portal_session_opens_one_account_and_no_other(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let api = deployment.api();
    let types = ["message.report"];
    let own = api.endpoint("door-own", "https://example.com/own", &types);
    let own = own.await?;
    let other = api.endpoint("door-other", "https://example.com/other", &types);
    let other = other.await?;
    let url = portal(&deployment, "door-own", &json!({})).await?;
    let customer = Browser::follow(&deployment, &url).await?;
    let (event, attempt) = a_message(&deployment, "door-other").await?;
    for path in [format!("/events/{event}"), format!("/attempts/{attempt}")] {
        for account in ["door-other", "door-own"] {
            let answer = customer.get(&format!("/accounts/{account}{path}")).await?;
            ensure!(
                answer.status() == 404,
                "{account}{path}: {}",
                answer.status()
            );
        }
    }
    let home = customer.get("/").await?;
    ensure!(home.headers()[LOCATION] == "/accounts/door-own/webhooks");
    let page = customer.get("/accounts/door-own/webhooks").await?;
    ensure!(page.text().await?.contains("https://example.com/own"));
    for (method, route) in ROUTES {
        for (account, id) in [("door-other", &other), ("door-other", &own)] {
            let path = format!("/accounts/{account}{}", route.replace("{id}", id));
            let answer = customer.send(method, &path, String::new()).await?;
            ensure!(
                answer.status() == 404,
                "{method} {path}: {}",
                answer.status()
            );
        }
        // The other's endpoint is not found under one's own account either.
        if route.contains("{id}") {
            let path = format!("/accounts/door-own{}", route.replace("{id}", &other));
            let answer = customer.send(method, &path, String::new()).await?;
            ensure!(
                answer.status() == 404,
                "{method} {path}: {}",
                answer.status()
            );
        }
        let stranger = Browser::new(&deployment)?;
        let path = format!("/accounts/door-own{}", route.replace("{id}", &own));
        let answer = stranger.send(method, &path, String::new()).await?;
        ensure!(
            answer.status() == 401,
            "{method} {path}: {}",
            answer.status()
        );
    }
    let chosen = customer.get("/accounts?account=door-other").await?;
    ensure!(chosen.status() == 404, "{}", chosen.status());
    api.get(&format!("/v1/accounts/door-other/endpoints/{other}"))
        .await?;
    Ok(())
}

async fn a_portal_session_ends_with_its_time(deployment: Arc<Deployment>) -> Result<()> {
    let account = "door-time";
    let url = portal(&deployment, account, &json!({"ttl_seconds": 2})).await?;
    let customer = Browser::follow(&deployment, &url).await?;
    let path = format!("/accounts/{account}/webhooks");
    eventually("the session ends", Duration::from_secs(10), async || {
        let status = customer.get(&path).await?.status();
        ensure!(status == 401, "{status}");
        Ok(())
    })
    .await?;
    let again = customer.client.get(&url).send().await?;
    ensure!(again.status() == 401, "{}", again.status());
    for wrong in [json!(0), json!(86_401), json!("1h")] {
        let path = format!("/v1/accounts/{account}/portal-sessions");
        let body = json!({"ttl_seconds": wrong});
        deployment.api().post(422, &path, &body).await?;
    }
    Ok(())
}

async fn a_session_ends_with_its_key(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let account = "door-key";
    let body = json!({"description": "a test", "scope": "admin", "account": account});
    let made = api.post(201, "/v1/keys", &body).await?;
    let key = made["key"].as_str().context("a key")?;
    let operator = Browser::sign_in(&deployment, key).await?;
    let path = format!("/v1/accounts/{account}/portal-sessions");
    let link = api.with_key(key).post(201, &path, &json!({})).await?;
    let link = link["url"].as_str().context("a url")?;
    let customer = Browser::follow(&deployment, link).await?;
    let page = format!("/accounts/{account}/webhooks");
    for browser in [&operator, &customer] {
        let answer = browser.get(&page).await?;
        ensure!(answer.status() == 200, "{}", answer.status());
    }
    let id = made["id"].as_str().context("an id")?;
    let (status, _) = api
        .call(Method::DELETE, &format!("/v1/keys/{id}"), None)
        .await?;
    ensure!(status == 204, "{status}");
    for browser in [&operator, &customer] {
        let answer = browser.get(&page).await?;
        ensure!(answer.status() == 401, "{}", answer.status());
    }
    Ok(())
}

async fn who_signs_in_again_goes_on_where_they_were(deployment: Arc<Deployment>) -> Result<()> {
    let stranger = Browser::new(&deployment)?;
    let path = "/accounts/door-again/webhooks?page=x&again";
    let answer = stranger.get(path).await?;
    ensure!(answer.status() == 401, "{}", answer.status());
    let page = answer.text().await?;
    let hidden = "name=\"to\" value=\"/accounts/door-again/webhooks?page=x&#38;again\"";
    ensure!(page.contains(hidden), "{page}");
    let key = deployment.admin_key();
    let sign_in = async |to: &str| {
        let form = format!("key={key}&to={to}");
        stranger.submit("/sign-in", form).await
    };
    let to = sign_in("%2Faccounts%2Fdoor-again%2Fwebhooks").await?;
    ensure!(to == "/accounts/door-again/webhooks", "{to}");
    for foreign in [
        "https://evil.example/accounts",
        "//evil.example",
        "/portal/x",
    ] {
        let to = sign_in(foreign).await?;
        ensure!(to == "/", "{foreign}: {to}");
    }
    // A link to the dashboard is no page: it is not shown again.
    let page = stranger.get("/portal/ended").await?.text().await?;
    ensure!(!page.contains("name=\"to\""), "{page}");
    Ok(())
}

async fn a_form_of_another_site_is_refused(deployment: Arc<Deployment>) -> Result<()> {
    let account = "door-csrf";
    let url = portal(&deployment, account, &json!({})).await?;
    let customer = Browser::follow(&deployment, &url).await?;
    let api = deployment.api();
    let id = api
        .endpoint(account, "https://example.com/", &["message.report"])
        .await?;
    let path = format!("/accounts/{account}/webhooks/{id}/delete");
    let evil: [&[(&str, &str)]; 4] = [
        &[],
        &[("origin", "null")],
        &[("origin", "https://evil.example")],
        &[("sec-fetch-site", "cross-site")],
    ];
    for headers in evil {
        let mut request = customer.client.post(customer.url(&path));
        request = request.header(COOKIE, &customer.cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await?;
        ensure!(answer.status() == 403, "{headers:?}: {}", answer.status());
    }
    api.get(&format!("/v1/accounts/{account}/endpoints/{id}"))
        .await?;
    let answer = customer.send("POST", &path, String::new()).await?;
    ensure!(answer.status() == 303, "{}", answer.status());
    Ok(())
}

async fn pages_run_nothing_but_our_own_files(deployment: Arc<Deployment>) -> Result<()> {
    let browser = Browser::new(&deployment)?;
    let answer = browser.get("/sign-in").await?;
    let headers = answer.headers().clone();
    let policy = headers["content-security-policy"].to_str()?;
    for part in ["default-src 'none'", "frame-ancestors 'none'"] {
        ensure!(policy.contains(part), "{policy}");
    }
    ensure!(!policy.contains("unsafe"), "{policy}");
    ensure!(headers["x-content-type-options"] == "nosniff");
    ensure!(headers["cache-control"] == "no-store");
    let page = answer.text().await?;
    ensure!(!page.contains(" style=") && !page.contains("<style"));
    let mut files = 0;
    for path in page.split('"').filter(|part| part.starts_with("/assets/")) {
        let file = browser.get(path).await?;
        ensure!(file.status() == 200, "{path}: {}", file.status());
        let kept = file.headers()["cache-control"].to_str()?;
        ensure!(kept.contains("immutable"), "{path}: {kept}");
        files += 1;
    }
    ensure!(files >= 3, "{files} files");
    Ok(())
}

async fn only_a_customers_pages_may_be_framed(deployment: Arc<Deployment>) -> Result<()> {
    let url = portal(&deployment, "door-frame", &json!({})).await?;
    let customer = Browser::follow(&deployment, &url).await?;
    let operator = Browser::sign_in(&deployment, deployment.api().key()).await?;
    let paths = [
        (&customer, "/accounts/door-frame/webhooks", true),
        // A customer in a frame is told there that there is nothing.
        (&customer, "/accounts/door-frame/nothing", true),
        (&customer, "/nothing", false),
        (&customer, "/sign-in", false),
        (&operator, "/accounts", false),
        (&operator, "/fleet", false),
        (&operator, "/keys", false),
    ];
    for (browser, path, framed) in paths {
        let answer = browser.get(path).await?;
        let policy = answer.headers().get("content-security-policy");
        let policy = policy.map_or("", |policy| policy.to_str().unwrap_or_default());
        ensure!(
            policy.contains("frame-ancestors http://localhost:*") == framed,
            "{path}: {policy}"
        );
    }
    // From within the frame a form comes from our own origin; from the page
    // around it, it does not.
    let body = "url=".to_owned();
    let path = "/accounts/door-frame/webhooks/new";
    let around = customer.client.post(customer.url(path)).body(body);
    let around = around
        .header(COOKIE, &customer.cookie)
        .header(ORIGIN, "http://localhost:3000")
        .send()
        .await?;
    ensure!(around.status() == 403, "{}", around.status());
    Ok(())
}

async fn the_operators_pages_are_closed_to_others(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let url = portal(&deployment, "door-fleet", &json!({})).await?;
    let customer = Browser::follow(&deployment, &url).await?;
    let key = async |body: Value| -> Result<(String, String)> {
        let made = api.post(201, "/v1/keys", &body).await?;
        let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
        Ok((text("id"), text("key")))
    };
    let (id, bound) =
        key(json!({"description": "bound", "scope": "admin", "account": "door-fleet"})).await?;
    let bound = Browser::sign_in(&deployment, &bound).await?;
    let (_, reads) = key(json!({"description": "reads", "scope": "read"})).await?;
    let reads = Browser::sign_in(&deployment, &reads).await?;
    for (method, route) in OPERATORS {
        let path = route.replace("{id}", &id);
        for browser in [&customer, &bound] {
            let answer = browser.send(method, &path, String::new()).await?;
            ensure!(
                answer.status() == 403,
                "{method} {path}: {}",
                answer.status()
            );
        }
        let answer = reads.send(method, &path, String::new()).await?;
        let expected = if path.starts_with("/keys") { 403 } else { 200 };
        ensure!(
            answer.status() == expected,
            "{method} {path}: {}",
            answer.status()
        );
        let stranger = Browser::new(&deployment)?;
        let answer = stranger.send(method, &path, String::new()).await?;
        ensure!(
            answer.status() == 401,
            "{method} {path}: {}",
            answer.status()
        );
    }
    Ok(())
}

async fn an_operator_gives_it_a_name_a_logo_and_a_colour(
    deployment: Arc<Deployment>,
) -> Result<()> {
    // It needs one of its own, and one is enough.
    if deployment.mode() != Mode::Standalone {
        return Ok(());
    }
    let logo = deployment.dir().join("logo.svg");
    std::fs::write(&logo, "<svg xmlns='http://www.w3.org/2000/svg'/>")?;
    let logo = logo.to_str().context("a path")?;
    let settings = [
        ("POSTRIDER_BRAND_NAME", "Acme <Hooks>"),
        ("POSTRIDER_BRAND_LOGO", logo),
        ("POSTRIDER_BRAND_ACCENT", "#ffd400"),
    ];
    let own = Deployment::start(Mode::Standalone, &settings).await?;
    let browser = Browser::new(&own)?;
    let page = browser.get("/sign-in").await?.text().await?;
    ensure!(page.contains("Acme &#60;Hooks&#62;"), "{page}");
    let file = async |stem: &str| -> Result<String> {
        let mut paths = page.split('"');
        let path = paths
            .find(|path| path.starts_with(stem))
            .context("a file")?;
        Ok(browser.get(path).await?.text().await?)
    };
    ensure!(file("/assets/logo-").await? == "<svg xmlns='http://www.w3.org/2000/svg'/>");
    let style = file("/assets/brand-").await?;
    // Yellow is bent until it can be read on white.
    ensure!(style.contains("--accent: #") && !style.starts_with(":root { --accent: #ffd400"));
    Ok(())
}
