//! Whatever answers in Entra's place: a byte for the status, and the body.
#![no_main]

use apim_agent::{
    clock,
    exchange::aadsts::{Flow, Presented, Refusal, explain},
    identity::claims::Claims,
};
use apim_agent_fuzz::{STATUSES, choice, fit_to_show, fit_to_tell};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((status, body)) = choice(data) else { return };
    let now = clock::from_unix(1_795_482_000);
    let claims = Claims {
        iss: "https://app.gitpod.io".to_owned(),
        sub: "organization_id:o:project_id:p".to_owned(),
        aud: vec!["api://AzureADTokenExchange".to_owned()],
        exp: now,
        workspace: None,
        user: None,
    };
    let presented = |flow| Presented {
        flow,
        tenant_id: "contoso.onmicrosoft.com".to_owned(),
        client_id: "00000000-0000-0000-0000-000000000000".to_owned(),
        audience: "api://AzureADTokenExchange".to_owned(),
        scope: "api://orders/.default".to_owned(),
        claims: claims.clone(),
    };
    if let Some(refusal) = Refusal::parse(body) {
        assert!(!refusal.error.is_empty());
        for text in [&refusal.error, &refusal.description]
            .into_iter()
            .chain(&refusal.trace_id)
            .chain(&refusal.correlation_id)
        {
            fit_to_show(text, 401);
        }
    }
    let answer = http::Response::builder().status(STATUSES[status % STATUSES.len()]);
    let answer = answer.body(bytes::Bytes::copy_from_slice(body)).expect("a status and a body");
    for flow in [Flow::ClientAssertion, Flow::SamlBearer, Flow::OnBehalfOf] {
        fit_to_tell(&explain(&answer, &presented(flow), now));
    }
});
