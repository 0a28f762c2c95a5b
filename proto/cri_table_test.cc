// SPDX-License-Identifier: Apache-2.0
//
// Holds the compiled CRI descriptor against proto/cri/cri-v1.tsv, both ways: the descriptor is written as
// rows of that table, and the two sets of rows must be the same. A row says all that travels on the wire.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "proto/cri/v1/api.pb.h"

namespace {

namespace pb = google::protobuf;
using Rows = std::vector<std::string>;

const pb::FileDescriptor& CriFile() { return *runtime::v1::VersionRequest::descriptor()->file(); }

std::string Row(std::initializer_list<std::string_view> cells) {
  std::string row;
  for (std::string_view cell : cells) {
    if (!row.empty()) row += '\t';
    row += cell;
  }
  return row;
}

// Name inside the package: "SecurityProfile.ProfileType".
std::string LocalName(const std::string& full_name) {
  return full_name.substr(CriFile().package().size() + 1);
}

std::string TypeName(const pb::FieldDescriptor& field) {
  if (field.is_map()) {
    const pb::Descriptor& entry = *field.message_type();
    return "map<" + TypeName(*entry.map_key()) + "," + TypeName(*entry.map_value()) + ">";
  }
  if (field.type() == pb::FieldDescriptor::TYPE_MESSAGE) return LocalName(field.message_type()->full_name());
  if (field.type() == pb::FieldDescriptor::TYPE_ENUM) return LocalName(field.enum_type()->full_name());
  return field.type_name();
}

// The table knows three labels; the last two are words it never has, so that such a field is reported.
std::string_view Label(const pb::FieldDescriptor& field) {
  if (field.is_map()) return "map";
  if (field.is_repeated()) return "repeated";
  if (field.has_optional_keyword()) return "optional";
  if (field.containing_oneof() != nullptr) return "oneof";
  return "singular";
}

std::string_view Streaming(const pb::MethodDescriptor& method) {
  if (method.client_streaming()) return method.server_streaming() ? "bidi-stream" : "client-stream";
  return method.server_streaming() ? "server-stream" : "unary";
}

void AddEnum(const pb::EnumDescriptor& type, Rows& rows) {
  for (int i = 0; i < type.value_count(); ++i) {
    rows.push_back(Row({"enum", LocalName(type.full_name()), type.value(i)->name(),
                        std::to_string(type.value(i)->number())}));
  }
}

void AddMessage(const pb::Descriptor& type, Rows& rows) {
  if (type.options().map_entry()) return;
  const std::string name = LocalName(type.full_name());
  if (type.field_count() == 0) rows.push_back(Row({"message", name, "(no fields)"}));
  for (int i = 0; i < type.field_count(); ++i) {
    const pb::FieldDescriptor& field = *type.field(i);
    std::string row =
        Row({"field", name, field.name(), std::to_string(field.number()), Label(field), TypeName(field)});
    if (field.options().deprecated()) row += "\tdeprecated";
    rows.push_back(row);
  }
  for (int i = 0; i < type.enum_type_count(); ++i) AddEnum(*type.enum_type(i), rows);
  for (int i = 0; i < type.nested_type_count(); ++i) AddMessage(*type.nested_type(i), rows);
}

void AddService(const pb::ServiceDescriptor& service, Rows& rows) {
  for (int i = 0; i < service.method_count(); ++i) {
    const pb::MethodDescriptor& method = *service.method(i);
    rows.push_back(Row({"rpc", service.name(), method.name(), LocalName(method.input_type()->full_name()),
                        LocalName(method.output_type()->full_name()), Streaming(method)}));
  }
}

Rows DescriptorRows() {
  const pb::FileDescriptor& file = CriFile();
  Rows rows{Row({"package", file.package()})};
  for (int i = 0; i < file.service_count(); ++i) AddService(*file.service(i), rows);
  for (int i = 0; i < file.message_type_count(); ++i) AddMessage(*file.message_type(i), rows);
  for (int i = 0; i < file.enum_type_count(); ++i) AddEnum(*file.enum_type(i), rows);
  std::sort(rows.begin(), rows.end());
  return rows;
}

Rows TableRows() {
  std::ifstream table(CRI_TABLE);
  EXPECT_TRUE(table.is_open()) << "cannot read " << CRI_TABLE;
  Rows rows;
  for (std::string line; std::getline(table, line);) {
    if (!line.empty()) rows.push_back(line);
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

Rows OnlyInFirst(const Rows& first, const Rows& second) {
  Rows rest;
  std::set_difference(first.begin(), first.end(), second.begin(), second.end(), std::back_inserter(rest));
  return rest;
}

std::string Lines(const Rows& rows) {
  std::string text;
  for (const std::string& row : rows) text += "  " + row + "\n";
  return text;
}

TEST(CriTable, IsWhollyThere) {
  const Rows rows = TableRows();
  const auto count = [&rows](std::string_view kind) {
    return std::count_if(rows.begin(), rows.end(),
                         [kind](const std::string& row) { return row.rfind(kind, 0) == 0; });
  };
  EXPECT_EQ(count("rpc\t"), 43);
  EXPECT_EQ(count("field\t"), 478);
  EXPECT_EQ(count("message\t"), 18);
  EXPECT_EQ(count("enum\t"), 95);
  EXPECT_EQ(std::adjacent_find(rows.begin(), rows.end()), rows.end()) << "the table repeats a row";
}

TEST(CriTable, HasNothingThatTheDescriptorLacks) {
  const Rows missing = OnlyInFirst(TableRows(), DescriptorRows());
  EXPECT_TRUE(missing.empty()) << "in cri-v1.tsv but not, or not so, in api.proto:\n" << Lines(missing);
}

TEST(CriTable, LacksNothingThatTheDescriptorHas) {
  const Rows extra = OnlyInFirst(DescriptorRows(), TableRows());
  EXPECT_TRUE(extra.empty()) << "in api.proto but not, or not so, in cri-v1.tsv:\n" << Lines(extra);
}

// Nothing on the wire may come from elsewhere than the messages and services that the rows describe.
TEST(CriTable, IsAllThereIsToTheFile) {
  const pb::FileDescriptor& file = CriFile();
  EXPECT_EQ(file.syntax(), pb::FileDescriptor::SYNTAX_PROTO3);
  EXPECT_EQ(file.extension_count(), 0);
  EXPECT_EQ(file.dependency_count(), 0);
}

}  // namespace
