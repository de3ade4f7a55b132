# The image holds one static binary: no shell, no package manager, no root.
#   docker build -t kubemint/kubemint:v0.1.0 --build-arg VERSION=v0.1.0 .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY api api
COPY cmd cmd
COPY controllers controllers
COPY tokenserver tokenserver
ARG VERSION=
ARG COMMIT=
RUN CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -ldflags "-s -w -X main.version=${VERSION} -X main.commit=${COMMIT}" -o /kubemint ./cmd/kubemint

FROM scratch
COPY --from=build /kubemint /kubemint
USER 65532:65532
ENTRYPOINT ["/kubemint"]
