//! The description, beyond what stands at each operation.

use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref,
    RefOr, Required, ResponseBuilder, Type,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::problem::ProblemDocument;

const BEARER: &str = "key";

/// The frame that operations are put into.
pub(super) fn outline() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Postrider")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Sends a platform's events to its customers' endpoints. Errors are RFC 9457 \
             problems; lists are newest first and paged by tokens.",
        ))
        .license(Some(
            LicenseBuilder::new()
                .name("Apache-2.0")
                .identifier(Some("Apache-2.0"))
                .build(),
        ))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .security(Some([SecurityRequirement::new(
            BEARER,
            Vec::<String>::new(),
        )]))
        .build()
}

/// Adds what every operation shares: the key, the problem, the parts of the
/// path.
pub(super) fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key of the scope that the operation needs."))
        .build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    components.schemas.insert(
        ProblemDocument::name().into_owned(),
        ProblemDocument::schema(),
    );
    let mut nested = Vec::new();
    ProblemDocument::schemas(&mut nested);
    components.schemas.extend(nested);
    for (path, item) in &mut document.paths.paths {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            add_path_parameters(operation, path);
            add_problem(operation);
        }
    }
}

fn add_path_parameters(operation: &mut Operation, path: &str) {
    let names = path
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next());
    for name in names {
        // An extractor may have told of it, without words.
        let parameters = operation.parameters.get_or_insert_default();
        parameters.retain(|one| !matches!(one, RefOr::T(one) if one.name == name));
        let description = match name {
            "account" => "The customer: 1 to 64 of A-Z, a-z, 0-9, _ and -.",
            _ => "The id, as an answer of this API gave it.",
        };
        let parameter: Parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(description))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .build();
        parameters.push(RefOr::T(parameter));
    }
}

fn add_problem(operation: &mut Operation) {
    let problem = Ref::from_schema_name(ProblemDocument::name().into_owned());
    let content = ContentBuilder::new()
        .schema(Some(RefOr::Ref(problem)))
        .build();
    let response = ResponseBuilder::new()
        .description("What is wrong, and what to do.")
        .content("application/problem+json", content)
        .build();
    operation
        .responses
        .responses
        .insert("default".to_owned(), RefOr::T(response));
}
